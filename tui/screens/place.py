"""What every place beside the main screen is: a banner above, a live stop key, one key to any other place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from engine.paths import ProfilePaths
from tui.commands import Commands
from tui.happenings import Happenings
from tui.places import place_bindings
from tui.screens.full_screen import FullScreen


@dataclass(frozen=True, slots=True)
class Access:
    """What a place may use: the way to its profile's engine, the operator's commands, what happened."""

    paths: ProfilePaths
    commands: Commands
    happenings: Happenings


class PlaceScreen(FullScreen):
    """A screen with a banner that follows the engine; its own key and escape lead back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape",
            "back",
            "Back",
            key_display="esc",
            tooltip="back to where you came from",
            id="place.back",
        ),
        *place_bindings(show=False),
    ]
    NAME: ClassVar[str] = ""

    def action_back(self) -> None:
        """Back to where the operator came from."""
        self.dismiss(None)
