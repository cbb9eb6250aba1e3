"""A pane of figures under a rule: what the fund, latency, totals and prices panes have in common."""

from __future__ import annotations

from collections.abc import Sequence

from tui import format as fmt
from tui.lines import Line, Lines, Span, Tone, line
from tui.panes.rule import rule

_LEAST_ROWS, _MOST_ROWS = 2, 12  # of a course that is drawn large


class Figures(Lines, can_focus=True):
    """A rule and lines of figures. Before the first snapshot it says what it waits for.

    Zoomed it has the screen for itself: a line of little columns is drawn as high as there is room.
    """

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

    def rows_of_course(self, other_lines: int, courses: int) -> int:
        """How high each of so many courses may be drawn beside that many other lines; 0 for a small pane."""
        if not self.has_class("-zoomed"):
            return 0
        return max(_LEAST_ROWS, min(_MOST_ROWS, (self.size.height - 1 - other_lines) // courses))

    def on_mount(self) -> None:
        """Show the rule at once."""
        self._draw()

    def on_resize(self) -> None:
        """The rule and the bars fill the width."""
        self._draw()

    def on_focus(self) -> None:
        """The title lights up."""
        self._draw()

    def on_blur(self) -> None:
        """The title goes back."""
        self._draw()

    def _draw(self) -> None:
        head = rule(self.TITLE, self._facts, self.size.width, active=self.has_focus, end=self._age)
        self.show([head, *self._body])


def course_lines(
    values: Sequence[int], width: int, height: int, tone: Tone, *, floor: int | None = None
) -> list[Line]:
    """A course drawn large, each column the peak of its share of the values."""
    drawn = fmt.columns(values, width, height, floor=floor)
    return [line(" ", Span(row, tone)) for row in drawn]
