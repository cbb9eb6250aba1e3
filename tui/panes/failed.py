"""The liquidations that were given up, newest first: why, after how many attempts, and what comes next."""

from __future__ import annotations

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.table_pane import TablePane

_COLUMNS = (
    Column("position", 9, rank=0),
    Column("market", 8, rank=1),
    Column("why", 18, rank=2),
    Column("tries", 5, right=True, rank=4),
    Column("last", 8, rank=3),
    Column("next step", 24, rank=5, stretch=True),
    Column("message", 40, rank=6),
)


class FailedPane(TablePane):
    """Rows are keyed by the liquidation's id; `row_of` leads from there to the wire's row."""

    def __init__(self) -> None:
        super().__init__("3 FAILED", _COLUMNS, name="failed")
        self._failed: dict[str, wire.FailedRow] = {}

    def row_of(self, key: str | None) -> wire.FailedRow | None:
        """The failed liquidation with that id, if it is still on the list."""
        return None if key is None else self._failed.get(key)

    def under_cursor(self) -> wire.FailedRow | None:
        """The failed liquidation on which a retry would act."""
        return self.row_of(self.table.cursor_key)

    def show_failed(self, snapshot: wire.Snapshot) -> None:
        """Show the list, newest first."""
        newest = sorted(snapshot.failed, key=lambda row: (-row.last_at_ns, row.liquidation_id))
        self._failed = {row.liquidation_id: row for row in newest}
        empty = line(Span("nothing failed", Tone.HEALTHY))
        self.show_rows(_facts(snapshot), [_row(row) for row in newest], empty)


def _facts(snapshot: wire.Snapshot) -> Line:
    length = snapshot.failed_length
    if not length:
        return (Span("0"),)
    parts = [Span(fmt.count(length), Tone.DANGER, bold=True), Span("  r retry  d dismiss", Tone.MUTED)]
    if len(snapshot.failed) < length:
        parts.append(Span(f"  the newest {len(snapshot.failed)}", Tone.MUTED))
    return tuple(parts)


def _row(row: wire.FailedRow) -> Row:
    return Row(
        row.liquidation_id,
        (
            span(fmt.address(row.address)),
            span(row.symbol),
            span(row.outcome, Tone.DANGER),
            Span(str(row.attempts)),
            Span(fmt.clock_time(row.last_at_ns)),
            span(row.next_step),
            span(row.message),
        ),
    )
