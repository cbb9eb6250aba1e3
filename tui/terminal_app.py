"""What an app does for its terminal: writes what changed, and paints no faster than that is read."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.app import App, ReturnType
from textual.screen import Screen

from tui.changed_cells import TerminalMemory
from tui.terminal_input import ConsoleDriver
from tui.terminal_pace import TerminalPace, terminal_reads

REPAINT_S = 60.0
LOOK_AGAIN_S = 0.25


class TerminalApp(App[ReturnType], inherit_bindings=False):
    """The base of the console's app."""

    def __init__(self) -> None:
        super().__init__(driver_class=ConsoleDriver)
        self._terminal = TerminalMemory()
        self._shows_later = False
        self.terminal_pace = TerminalPace(lambda: self.is_headless or terminal_reads())

    def follow_terminal(self) -> None:
        """Write everything again after a suspension, and at times: others may have written there."""
        self.set_interval(REPAINT_S, self._repaint)
        self.app_resume_signal.subscribe(self, lambda _: self._repaint())

    def show_when_read(self) -> None:
        """Paint the newest state, or leave it until the terminal reads: what would wait there grows old."""
        if self.terminal_pace.is_ready():
            self.show_now()
        elif not self._shows_later:
            self._shows_later = True
            self.set_timer(LOOK_AGAIN_S, self._show_again)

    def show_now(self) -> None:
        """Paint the newest state."""

    def _show_again(self) -> None:
        self._shows_later = False
        self.show_when_read()

    def _repaint(self) -> None:
        self._terminal.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Textual writes whole lines: let it write what changed."""
        if isinstance(renderable, CompositorUpdate):
            renderable = self._terminal.lean(renderable, self.size)
        super()._display(screen, renderable)
