"""The log: the engine's events and this console's own, newest first, by level, origin and text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from tui import format as fmt
from tui.happenings import CAPACITY, CONSOLE, ENGINE, Happening
from tui.lines import Line, Span, Tone, span
from tui.live_table import Column, Row
from tui.panes.events import LEVELS
from tui.panes.table_pane import TablePane
from tui.screens.place import Access
from tui.screens.table_place import PAGE_ROWS, TablePlace, told, told_at_length

_COLUMNS = (
    Column("when", 14, rank=0),
    Column("from", 7, rank=2),
    Column(" ", 1, rank=0),
    Column("what happened", 24, rank=0, stretch=True),
)
_ALL = frozenset(LEVELS)
# What is shown, and what it is called; the first one is everything.
_CHOICES: tuple[tuple[frozenset[str], str], ...] = (
    (_ALL, ""),
    (frozenset({"attention", "danger"}), "attention and danger"),
    (frozenset({"danger"}), "danger"),
    (frozenset({"ours"}), "done by the engine"),
)
_ORIGINS = ("", ENGINE, CONSOLE)
_MORE = (
    f"the newest {fmt.count(CAPACITY)} of each origin are kept here; the engine's log file has all of its own"
)


class LogScreen(TablePlace[list[Happening]]):
    """Asks nobody: the console has kept what it saw. The whole log of the engine is its log file."""

    NAME = "log"
    HINT = "any text"
    REFRESH_S = 0.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "level", "Level", id="log.level", tooltip="only attention and danger, and so on"),
        Binding("o", "origin", "From", id="log.origin", tooltip="only the engine's, or the console's"),
    ]

    def __init__(self, access: Access) -> None:
        super().__init__(access, TablePane("LOG", _COLUMNS, name="log", tail=True))
        self._levels = 0
        self._origin = 0

    def ask(self) -> None:
        """Take what the console has."""
        self.accept(self.access.happenings.newest_first())

    def rows(self, answer: list[Happening]) -> Sequence[Row]:
        """One row a line, those of this page."""
        return [_row(each) for each in self._matching(answer)[self.first_row : self.first_row + PAGE_ROWS]]

    def total(self, answer: list[Happening]) -> int:
        """Those that match."""
        return len(self._matching(answer))

    def facts(self, answer: list[Happening]) -> Line:
        """The filter, and what was never seen."""
        del answer
        wanted = (
            _CHOICES[self._levels][1],
            _ORIGINS[self._origin],
            f'"{self.wanted}"' if self.wanted else "",
        )
        missed = self.access.happenings.missed
        return (
            span(" · ".join(each for each in wanted if each), Tone.OURS),
            Span(f"{fmt.count(missed)} came too fast to be seen" if missed else "", Tone.ATTENTION),
        )

    def freshness(self) -> Line:
        """It is as old as what the banner says."""
        return ()

    def empty(self, answer: list[Happening]) -> str:
        """Nothing matches, or nothing happened."""
        if answer:
            return f"none of {fmt.count(len(answer))} lines match: / v o change what is shown"
        return "nothing happened since this console was opened"

    def row_lines(self, key: str, answer: list[Happening]) -> Sequence[Line]:
        """The whole line."""
        row = next((each for each in answer if each.key == key), None)
        if row is None:
            return []
        return [
            told("when", Span(fmt.full_date_time(row.at_ns)), span(f"  {row.origin}, {row.level}")),
            *told_at_length("what", row.text, self.size.width, _level(row)[1]),
            *told_at_length("more", _MORE, self.size.width, Tone.MUTED),
        ]

    def action_level(self) -> None:
        """The next choice of levels."""
        self._levels = (self._levels + 1) % len(_CHOICES)
        self.turn_to(0)

    def action_origin(self) -> None:
        """The next origin."""
        self._origin = (self._origin + 1) % len(_ORIGINS)
        self.turn_to(0)

    def _matching(self, answer: list[Happening]) -> list[Happening]:
        levels, origin = _CHOICES[self._levels][0], _ORIGINS[self._origin]
        wanted = self.wanted.lower()
        return [
            each
            for each in answer
            if (each.level in levels or levels is _ALL)
            and (not origin or each.origin == origin)
            and wanted in each.text.lower()
        ]


def _level(row: Happening) -> tuple[str, Tone]:
    return LEVELS.get(row.level, ("·", Tone.PLAIN))


def _row(row: Happening) -> Row:
    glyph, tone = _level(row)
    return Row(
        row.key,
        (
            Span(fmt.date_time(row.at_ns), Tone.MUTED),
            span(row.origin, Tone.MUTED),
            Span(glyph, tone, bold=True),
            span(row.text, tone),
        ),
    )
