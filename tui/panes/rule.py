"""The thin rule above a pane: its key, its title, its counts, and at its end how old what it shows is."""

from __future__ import annotations

from tui import format as fmt
from tui.lines import Line, Lines, Span, Tone, cut, span, width_of

_FRESH_MS = 2_000  # below it the age stands still: a figure that changes with every frame says nothing
_STALE_MS = 5_000


class Rule(Lines):
    """One line: `─ 1 AT RISK  37 of 804 ────`. With the keys in its pane the title lights up behind `━`."""

    DEFAULT_CSS = """
    Rule { height: 1; }
    """

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title = title
        self._facts: Line = ()
        self._active = False
        self._age: Line = ()

    def show_facts(self, facts: Line) -> None:
        """Show these counts behind the title."""
        self._facts = facts
        self._draw()

    def show_age(self, age: Line) -> None:
        """Show how old what the pane shows is, as `age_mark` says it."""
        if age != self._age:
            self._age = age
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
        self.show([rule(self._title, self._facts, self.size.width, active=self._active, end=self._age)])


def age_mark(age_ms: int) -> Line:
    """The age of a pane's data for the end of its rule; to the second from two seconds on."""
    if age_ms < _FRESH_MS:
        return (Span(f"<{_FRESH_MS // 1000} s", Tone.MUTED),)
    tone = Tone.DANGER if age_ms >= _STALE_MS else Tone.ATTENTION
    return (Span(f"{fmt.age(age_ms // 1000 * 1000).replace('.0', '')}", tone),)


def rule(title: str, facts: Line, width: int, *, active: bool = False, end: Line = ()) -> Line:
    """A rule of `width` cells with a title and facts in it, and something at its end where there is room."""
    tone = Tone.OURS if active else Tone.PLAIN
    begin = Span("━ ", Tone.OURS) if active else Span("─ ", Tone.MUTED)
    head: Line = (begin, span(title, tone, bold=True), Span("  " if facts else ""), *facts)
    tail: Line = (Span(" "), *end, Span(" ─", Tone.MUTED)) if end else ()
    head = cut(head, max(0, width - 2 - width_of(tail)))
    dashes = max(0, width - width_of(head) - width_of(tail) - 1)
    return (*head, Span(" "), Span("─" * dashes, Tone.MUTED), *tail)
