"""A pane of figures under a rule: what the fund, latency, totals and prices panes have in common."""

from __future__ import annotations

from collections.abc import Sequence

from tui.lines import Line, Lines, Span, Tone, line
from tui.panes.rule import rule


class Figures(Lines):
    """A rule and lines of figures. Before the first snapshot it says what it waits for."""

    DEFAULT_CSS = """
    Figures { height: auto; }
    """

    TITLE = ""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._facts: Line = ()
        self._age: Line = ()
        self._body: Sequence[Line] = (line(Span(" waiting for the engine", Tone.MUTED)),)

    def show_figures(self, facts: Line, body: Sequence[Line]) -> None:
        """Show these facts in the rule and these lines below it."""
        self._facts, self._body = facts, body
        self._draw()

    def show_age(self, age: Line) -> None:
        """Show at the rule's end how old the figures are."""
        if age != self._age:
            self._age = age
            self._draw()

    def on_mount(self) -> None:
        """Show the rule at once."""
        self._draw()

    def on_resize(self) -> None:
        """The rule and the bars fill the width."""
        self._draw()

    def _draw(self) -> None:
        self.show([rule(self.TITLE, self._facts, self.size.width, end=self._age), *self._body])
