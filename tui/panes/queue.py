"""The liquidations under way, in the order in which the engine takes them: lowest health first."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.sifted_pane import SiftedPane
from tui.query import Facts, Number

_COLUMNS = (
    Column("#", 3, right=True, rank=7),
    Column("position", 9, rank=0),
    Column("market", 8, rank=1),
    Column("health", 7, right=True, rank=2),
    Column("action", 7, rank=3),
    Column("stage", 8, rank=4),
    Column("attempt", 7, right=True, rank=6),
    Column("fee lam.", 8, right=True, rank=8),
    Column("age", 7, right=True, rank=5),
)
_OUT = frozenset({"sent", "landed"})
_LANDED = "landed"  # waits for finality alone, which takes its time
_SLOW_MS = 5_000


class Ranked(NamedTuple):
    """A liquidation with its place in the engine's order, 1 for the next one."""

    rank: int
    row: wire.QueueRow


class QueuePane(SiftedPane[Ranked]):
    """Rows are keyed by the liquidation's id; `address_of` leads from there to the position."""

    FIELDS: ClassVar[tuple[str, ...]] = ("market", "action", "stage", "health", "attempt", "fee", "age")

    def __init__(self) -> None:
        super().__init__("2 QUEUE", _COLUMNS, name="queue")
        self._addresses: dict[str, str] = {}

    def address_of(self, key: str | None) -> str | None:
        """The position of a row."""
        return None if key is None else self._addresses.get(key)

    def key_of(self, thing: Ranked) -> str:
        """The liquidation's id."""
        return thing.row.liquidation_id

    def row_of(self, thing: Ranked) -> Row:
        """One line of the table."""
        return _row(thing.rank, thing.row)

    def facts_of(self, thing: Ranked) -> Facts:
        """Fees in lamports, ages in seconds."""
        row = thing.row
        return {
            "position": row.address,
            "market": row.symbol,
            "action": row.action,
            "stage": row.stage,
            "health": Number(row.health_milli, 3),
            "attempt": Number(row.attempt),
            "fee": Number(row.fee_lamports),
            "age": Number(row.age_ms, 3),
        }

    def show_queue(self, snapshot: wire.Snapshot, *, stopped: bool) -> None:
        """Show what waits and what is out."""
        queue = snapshot.queue
        self._addresses = {row.liquidation_id: row.address for row in queue}
        empty = (
            "stopped: what is liquidatable waits in the book" if stopped else "empty: nothing to liquidate"
        )
        ranked = [Ranked(rank, row) for rank, row in enumerate(queue, start=1)]
        self.show_things(_facts(snapshot), ranked, line(Span(empty, Tone.MUTED)))


def _facts(snapshot: wire.Snapshot) -> Line:
    parts = [Span(fmt.count(snapshot.queue_length)), Span(f"  sent {snapshot.in_flight}")]
    if snapshot.queue:
        oldest = max(row.age_ms for row in snapshot.queue)
        slow = any(_is_slow(row) for row in snapshot.queue)
        parts.append(Span(f"  oldest {fmt.age(oldest)}", Tone.ATTENTION if slow else Tone.PLAIN))
    if len(snapshot.queue) < snapshot.queue_length:
        parts.append(Span(f"  the first {len(snapshot.queue)}", Tone.MUTED))
    return tuple(parts)


def _is_slow(row: wire.QueueRow) -> bool:
    return row.stage != _LANDED and row.age_ms > _SLOW_MS


def _row(rank: int, row: wire.QueueRow) -> Row:
    stage = Tone.OURS if row.stage in _OUT else Tone.ATTENTION if row.stage == "held" else Tone.PLAIN
    return Row(
        row.liquidation_id,
        (
            Span(str(rank), Tone.MUTED),
            span(fmt.address(row.address)),
            span(row.symbol),
            Span(fmt.milli(row.health_milli), Tone.DANGER),
            span(row.action),
            span(row.stage, stage),
            Span(str(row.attempt), Tone.ATTENTION if row.attempt > 1 else Tone.PLAIN),
            Span(fmt.lamports_short(row.fee_lamports)),
            Span(fmt.age(row.age_ms), Tone.ATTENTION if _is_slow(row) else Tone.PLAIN),
        ),
    )
