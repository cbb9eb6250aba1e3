"""The liquidations that were given up, newest first: why, after how many attempts, and what comes next."""

from __future__ import annotations

from typing import ClassVar

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.sifted_pane import SiftedPane
from tui.query import Facts, Number

_COLUMNS = (
    Column("position", 9, rank=0),
    Column("market", 8, rank=1),
    Column("why", 18, rank=2),
    Column("tries", 5, right=True, rank=4),
    Column("last", 8, rank=3),
    Column("next step", 24, rank=5, stretch=True),
    Column("message", 40, rank=6),
    Column("first", 8, rank=7),
)


class FailedPane(SiftedPane[wire.FailedRow]):
    """Rows are keyed by the liquidation's id; `failed_of` leads from there to the wire's row."""

    FIELDS: ClassVar[tuple[str, ...]] = ("market", "why", "tries", "last", "first")

    def __init__(self) -> None:
        super().__init__("3 FAILED", _COLUMNS, name="failed")
        self._failed: dict[str, wire.FailedRow] = {}

    def failed_of(self, key: str | None) -> wire.FailedRow | None:
        """The failed liquidation with that id, if it is still on the list."""
        return None if key is None else self._failed.get(key)

    def alike(self, outcome: str) -> list[wire.FailedRow]:
        """Those on the list that failed in the same way."""
        return [row for row in self._failed.values() if row.outcome == outcome]

    def address_of(self, key: str | None) -> str | None:
        """The position that could not be liquidated."""
        failed = self.failed_of(key)
        return None if failed is None else failed.address

    def key_of(self, thing: wire.FailedRow) -> str:
        """The liquidation's id."""
        return thing.liquidation_id

    def row_of(self, thing: wire.FailedRow) -> Row:
        """One line of the table."""
        return _row(thing)

    def facts_of(self, thing: wire.FailedRow) -> Facts:
        """Times in Unix nanoseconds: they are for the order alone."""
        return {
            "position": thing.address,
            "market": thing.symbol,
            "why": thing.outcome,
            "message": thing.message,
            "next": thing.next_step,
            "tries": Number(thing.attempts),
            "last": Number(thing.last_at_ns),
            "first": Number(thing.first_at_ns),
        }

    def show_failed(self, snapshot: wire.Snapshot) -> None:
        """Show the list, newest first."""
        newest = sorted(snapshot.failed, key=lambda row: (-row.last_at_ns, row.liquidation_id))
        self._failed = {row.liquidation_id: row for row in newest}
        empty = line(Span("nothing failed", Tone.HEALTHY))
        self.show_things(_facts(snapshot), newest, empty)


def _facts(snapshot: wire.Snapshot) -> Line:
    length = snapshot.failed_length
    if not length:
        return (Span("0"),)
    parts = [
        Span(fmt.count(length), Tone.DANGER, bold=True),
        Span("  r retry  R all alike  d dismiss", Tone.MUTED),
    ]
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
            Span(fmt.clock_time(row.first_at_ns)),
        ),
    )
