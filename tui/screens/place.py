"""What every place beside the main screen is: a banner above, a live stop key, one key to any other place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from engine.paths import ProfilePaths
from tui.commands import Commands
from tui.happenings import Happenings
from tui.panes.banner import Banner
from tui.places import place_bindings
from tui.state import ConsoleState


@dataclass(frozen=True, slots=True)
class Access:
    """What a place may use: the way to its profile's engine, the operator's commands, what happened."""

    paths: ProfilePaths
    commands: Commands
    happenings: Happenings


class PlaceScreen(Screen[None]):
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

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner follows every state."""
        self.query_one(Banner).show_state(state, now_ns)

    def action_back(self) -> None:
        """Back to where the operator came from."""
        self.dismiss(None)
