"""A place with one table: page by page, the row under the cursor written out in full below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from tui import format as fmt
from tui.lines import Line, Lines, Span, Tone, line, span, wrapped
from tui.live_table import LiveTable, Row
from tui.panes.filter_line import FilterInput
from tui.panes.rule import rule
from tui.panes.table_pane import TablePane
from tui.screens.asking import Answer, AskingScreen
from tui.screens.place import Access

PAGE_ROWS = 100
_ROW_SHARE = 3  # the written-out row takes one line in so many, and what is left of it is cut
_NAME_CELLS = 12


class Note(NamedTuple):
    """A line above the table; it stays until there is another one."""

    text: str
    tone: Tone


class TablePlace(AskingScreen[Answer]):
    """Subclasses say what the rows are, why there are none, and what a row has to tell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash",
            "search",
            "Search",
            key_display="/",
            id="place.search",
            priority=True,  # a key typed right behind this one must find the field, not the table
            tooltip="type what to look for",
        ),
        Binding("right", "page(1)", "Older", id="place.older", key_display="→", tooltip="the next page"),
        Binding("left", "page(-1)", "Newer", id="place.newer", key_display="←", tooltip="the page before"),
    ]
    DEFAULT_CSS = """
    TablePlace {
        & .notice, & .row { height: auto; }
        & #search { height: 1; display: none; padding: 0 2; }
        & TablePane { height: 1fr; }
    }
    """
    HINT: ClassVar[str] = ""  # what can be typed to search; empty where nothing can

    def __init__(self, access: Access, pane: TablePane) -> None:
        super().__init__(access)
        self.pane = pane
        self.first_row = 0
        self.note: Note | None = None
        self.wanted = ""
        self._notice = Lines(id="notice", classes="notice")
        self._row = Lines(id="row", classes="row")
        self._is_row_shown = True

    # What a subclass says

    def rows(self, answer: Answer) -> Sequence[Row]:
        """The rows of this page."""
        raise NotImplementedError

    def total(self, answer: Answer) -> int:
        """How many rows there are on all pages."""
        raise NotImplementedError

    def empty(self, answer: Answer) -> str:
        """Why there are no rows."""
        raise NotImplementedError

    def row_lines(self, key: str, answer: Answer) -> Sequence[Line]:
        """Everything about the row with that key, within the screen's width."""
        raise NotImplementedError

    def facts(self, answer: Answer) -> Line:  # noqa: ARG002 - most have nothing to add
        """What the rule says besides the range and the age."""
        return ()

    def notes(self, answer: Answer) -> Sequence[Note]:  # noqa: ARG002 - most have none
        """What stands above the table while this answer shows."""
        return ()

    def above(self) -> Iterable[Widget]:
        """What stands above the table."""
        return ()

    def look_for(self, text: str) -> None:
        """The operator typed `text` to look for, and left the line."""
        self.wanted = text.strip()
        self.turn_to(0)

    # What is shown

    def content(self) -> Iterable[Widget]:
        """The table has what is left over."""
        yield from self.above()
        yield FilterInput(placeholder=self.HINT, id="search", compact=True)
        yield self._notice
        yield self.pane
        yield self._row

    def opened(self) -> None:
        """The table has the keys."""
        self.set_focus(self.pane.table)
        super().opened()

    def resized(self) -> None:
        """Long lines are broken anew."""
        self.draw()

    def draw(self) -> None:
        """Show the page, or why there is none."""
        answer = self.answer
        self._draw_notice(answer)
        if answer is None:
            why = "no answer yet" if self.trouble else "asking the engine…"
            self.pane.show_rows((), (), line(Span(why, Tone.MUTED)))
        else:
            rows = self.rows(answer)
            facts = (self._range(answer, len(rows)), *self.facts(answer))
            self.pane.show_rows(_spaced(facts), rows, line(span(self.empty(answer), Tone.MUTED)))
        self.pane.show_age(self.freshness())
        self._draw_row()
        self.refresh_bindings()

    def _range(self, answer: Answer, shown: int) -> Span:
        total = self.total(answer)
        if shown == total:
            return Span(fmt.count(total) if total else "")
        return Span(
            f"{fmt.count(self.first_row + 1)}–{fmt.count(self.first_row + shown)} of {fmt.count(total)}"
        )

    def _draw_notice(self, answer: Answer | None) -> None:
        notes = [Note(f"✕ {self.trouble}", Tone.DANGER)] if self.trouble else []
        notes += self.notes(answer) if answer is not None else ()
        if self.note is not None:
            notes.append(self.note)
        width = max(1, self.size.width)
        lines = [each for note in notes for each in wrapped(note.text, width, note.tone)]
        self._notice.show(lines)

    def _draw_row(self) -> None:
        key = self.pane.table.cursor_key
        lines: Sequence[Line] = ()
        if key is not None and self.answer is not None and self._is_row_shown:
            said = self.row_lines(key, self.answer)[: self.size.height // _ROW_SHARE - 1]
            lines = (rule("ROW", (), self.size.width), *said) if said else ()
        self._row.show(lines)

    @on(LiveTable.Moved)
    def _follow_cursor(self, event: LiveTable.Moved) -> None:
        event.stop()
        self._draw_row()

    @on(LiveTable.Chosen)
    def _choose(self, event: LiveTable.Chosen) -> None:
        event.stop()
        self.choose(event.key)

    def choose(self, key: str) -> None:  # noqa: ARG002 - it is the row under the cursor anyway
        """Show the row in full, or leave its lines to the table."""
        self._is_row_shown = not self._is_row_shown
        self._draw_row()

    # Search

    def action_search(self) -> None:
        """Open the line to type in; enter looks, escape clears it."""
        entry = self.query_one("#search", FilterInput)
        entry.value = self.wanted
        entry.display = True
        self.set_focus(entry)

    @on(Input.Submitted, "#search")
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.display = False
        self.set_focus(self.pane.table)
        self.look_for(event.value)

    # Pages

    def acts(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what the place has not; dim the way to a page that is not there."""
        if action == "search":
            return bool(self.HINT) and not isinstance(self.focused, Input)
        if action == "page":
            has_pages = self.answer is not None and self.total(self.answer) > PAGE_ROWS
            return has_pages and (True if self._page_at(int(str(parameters[0]))) is not None else None)
        return super().acts(action, parameters)

    def action_page(self, step: int) -> None:
        """Ask for the next page, or the one before."""
        offset = self._page_at(step)
        if offset is not None:
            self.turn_to(offset)

    def turn_to(self, offset: int) -> None:
        """Ask for the page that begins there."""
        self.first_row = offset
        self.pane.table.action_edge(0)
        self.ask()
        self.draw()

    def _page_at(self, step: int) -> int | None:
        """Where the page that many steps on begins; None where there is none."""
        offset = self.first_row + step * PAGE_ROWS
        total = 0 if self.answer is None else self.total(self.answer)
        return offset if 0 <= offset < total else None


def told(name: str, *value: Span) -> Line:
    """One line of a written-out row."""
    return line(Span(f" {name:<{_NAME_CELLS}}", Tone.MUTED), *value)


def told_at_length(name: str, text: str, width: int, tone: Tone = Tone.PLAIN) -> list[Line]:
    """As many lines of a written-out row as a long text needs."""
    first, *more = wrapped(text, width, tone, indent=_NAME_CELLS + 1) or [(Span(""),)]
    return [told(name, *first[1:]), *more]


def _spaced(parts: Sequence[Span]) -> Line:
    """Facts of a rule with room between them; those that say nothing are left out."""
    shown = [part for part in parts if part.text]
    return tuple(piece for part in shown for piece in (part, Span("  ")))[:-1]
