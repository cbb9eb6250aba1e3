"""The thin rule above a pane, with its key, its title and its counts in it."""

from __future__ import annotations

from tui.lines import Line, Lines, Span, Tone, cut, width_of


class Rule(Lines):
    """One line: `─ 1 AT RISK  37 of 12,804 ────`. Its title lights up while its pane has the keys."""

    DEFAULT_CSS = """
    Rule { height: 1; }
    """

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = title
        self._facts: Line = ()
        self._active = False

    def show_facts(self, facts: Line) -> None:
        """Show these counts behind the title."""
        self._facts = facts
        self._draw()

    def show_active(self, *, active: bool) -> None:
        """Light the title up, or not."""
        if active != self._active:
            self._active = active
            self._draw()

    def on_resize(self) -> None:
        """The rule fills its line."""
        self._draw()

    def _draw(self) -> None:
        self.show([rule(self._title, self._facts, self.size.width, active=self._active)])


def rule(title: str, facts: Line, width: int, *, active: bool = False) -> Line:
    """A rule of `width` cells with a title and facts in it."""
    tone = Tone.OURS if active else Tone.PLAIN
    head: Line = (Span("─ ", Tone.MUTED), Span(title, tone, bold=True), Span("  " if facts else ""), *facts)
    head = cut(head, max(0, width - 2))
    return (*head, Span(" "), Span("─" * max(0, width - width_of(head) - 1), Tone.MUTED))
