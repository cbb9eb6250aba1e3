"""The audit: every command, who gave it, from where, and whether the engine took it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import wire
from engine.api.client import EngineClient
from tui import format as fmt
from tui.lines import Line, Span, Tone, span
from tui.live_table import Column, Row
from tui.panes.table_pane import TablePane
from tui.screens.place import Access
from tui.screens.table_place import PAGE_ROWS, TablePlace, told, told_at_length

_COLUMNS = (
    Column("when", 14, rank=0),
    Column("who", 10, rank=1),
    Column("command", 14, rank=2),
    Column("answer", 9, rank=3),
    Column("uid", 5, right=True, rank=5),
    Column("terminal", 12, rank=6),
    Column("detail", 16, rank=4, stretch=True),
)


class AuditScreen(TablePlace[wire.AuditPage]):
    """Newest first; the record is the database's, so it says so while that is away."""

    NAME = "audit"

    def __init__(self, access: Access) -> None:
        super().__init__(access, TablePane("AUDIT", _COLUMNS, name="audit"))

    async def fetch(self, client: EngineClient) -> wire.AuditPage:
        """The page that is on the screen."""
        return await client.audit(PAGE_ROWS, self.first_row)

    def rows(self, answer: wire.AuditPage) -> Sequence[Row]:
        """One row a command."""
        return [_row(key, row) for key, row in self._keyed(answer)]

    def total(self, answer: wire.AuditPage) -> int:
        """All that were ever given."""
        return answer.total

    def empty(self, answer: wire.AuditPage) -> str:
        """Nobody has given a command."""
        del answer
        return "no command was given to this wallet's engine yet"

    def row_lines(self, key: str, answer: wire.AuditPage) -> Sequence[Line]:
        """The whole command."""
        row = dict(self._keyed(answer)).get(key)
        if row is None:
            return []
        came = (
            "over HTTP, by a token"
            if row.uid is None
            else f"over the unix socket, uid {row.uid} by the kernel's word"
        )
        return [
            told("when", Span(fmt.full_date_time(row.at_ns))),
            told("who", span(row.actor, bold=True), span(f"  {came}")),
            told("terminal", span(row.terminal or "none that it named")),
            told("command", span(row.command, bold=True), Span("  "), _answer(row)),
            *told_at_length("detail", row.detail or "none", self.size.width),
        ]

    def _keyed(self, answer: wire.AuditPage) -> list[tuple[str, wire.AuditRow]]:
        """Rows with their number from the oldest on, which stays the same when new ones come."""
        oldest = answer.total - answer.offset
        return [(str(oldest - index), row) for index, row in enumerate(answer.rows)]


def _row(key: str, row: wire.AuditRow) -> Row:
    return Row(
        key,
        (
            Span(fmt.date_time(row.at_ns), Tone.MUTED),
            span(row.actor),
            span(row.command),
            _answer(row),
            Span(fmt.UNKNOWN if row.uid is None else str(row.uid)),
            span(row.terminal or fmt.UNKNOWN),
            span(row.detail),
        ),
    )


def _answer(row: wire.AuditRow) -> Span:
    return Span("● taken", Tone.HEALTHY) if row.accepted else Span("✕ refused", Tone.DANGER)
