"""The quit dialog: leaving the console never stops the engine unless it is asked to."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button

from tui.lines import Span, Tone, line
from tui.screens.dialog import Dialog


class Leaving(StrEnum):
    """What becomes of the engine."""

    LEAVE = "leave"
    STOP = "stop"


class QuitDialog(Dialog[Leaving]):
    """Leaving it running has the focus; `s` ends the engine, and its sandbox with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "choose('leave')", "Leave it running", id="quit.leave"),
        Binding("s", "choose('stop')", "Stop the engine", id="quit.stop"),
    ]

    def __init__(self, *, engine_known: bool, sent: int, with_sandbox: bool) -> None:
        self._engine_known = engine_known
        also = " and its sandbox" if with_sandbox else ""
        if engine_known:
            text = [
                line(Span("The engine runs on without this console.", bold=True)),
                line(""),
                line(f"Stopping it ends it{also}, once what it sent is settled ({sent})."),
                line(Span("It liquidates nothing until it is started again.", Tone.MUTED)),
            ]
        else:
            text = [line(Span("No engine answers: only this console ends.", bold=True))]
        super().__init__("Quit", text)

    def choices(self) -> Iterable[Widget]:
        """Leave, stop, stay."""
        yield Button("Leave running (l)" if self._engine_known else "Quit (l)", id="leave", compact=True)
        if self._engine_known:
            yield Button("Stop engine (s)", id="stop", compact=True)
        yield Button("Stay (esc)", id="cancel", compact=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to stop when no engine answers."""
        return self._engine_known or action != "choose" or parameters != ("stop",)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The buttons are the keys."""
        if event.button.id == "cancel":
            self.action_cancel()
        else:
            self.action_choose(event.button.id or "")

    def action_choose(self, choice: str) -> None:
        """Close with that choice."""
        self.dismiss(Leaving(choice))
