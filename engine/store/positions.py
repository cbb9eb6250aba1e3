"""Samples of positions for whoever looks at the database: the newest of each, written now and then.

They are a picture, not a record: while the database is away they are dropped; the engine never reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from solders.pubkey import Pubkey

from engine.clock import Clock
from engine.domain import Band, Health, Position
from engine.lull import Lull
from engine.store.pool import OUTAGE, Database, Session
from engine.store.rows import Owner, Row, clean, moment

PERIOD_S = 5.0
MAX_WAITING = 20_000
_BATCH_ROWS = 1_000
_AT_A_TIME = 50  # rows: to make and encode them takes the event loop a millisecond
_LONGEST_WAIT_S = 0.02  # for a piece, behind what is being sent


@dataclass(frozen=True, slots=True)
class PositionSample:
    """A position as it stood at a time; mark price and health are None while they are unknown."""

    position: Position
    mark_price_e6: int | None
    health: Health | None
    band: Band
    at_ns: int


class PositionSampler:
    """Keeps the newest sample of each position and writes them every few seconds."""

    def __init__(self, database: Database, identity: str, clock: Clock) -> None:
        self._database = database
        self._owner = Owner.parse(identity)
        self._clock = clock
        self._waiting: dict[Pubkey, PositionSample | None] = {}
        self.dropped = 0

    def offer(self, samples: Iterable[PositionSample]) -> None:
        """Take samples; beyond the limit a position that is not waiting yet is dropped and counted."""
        for sample in samples:
            self._put(sample.position.address, sample)

    def forget(self, address: Pubkey) -> None:
        """The position is gone: its row goes too."""
        self._put(address, None)

    def _put(self, address: Pubkey, sample: PositionSample | None) -> None:
        if len(self._waiting) >= MAX_WAITING and address not in self._waiting:
            self.dropped += 1
        else:
            self._waiting[address] = sample

    async def run(self, lull: Lull | None = None) -> None:
        """Write until cancelled; where it can, in a lull."""
        while True:
            await self._clock.sleep(PERIOD_S)
            await self.flush(lull)

    async def flush(self, lull: Lull | None = None) -> None:
        """Write what waits; when the database is away it is dropped and counted."""
        waiting, self._waiting = self._waiting, {}
        # In one order everywhere, so that two engines on one database cannot lock each other out.
        ordered = sorted(waiting.items(), key=lambda item: bytes(item[0]))
        for start in range(0, len(ordered), _BATCH_ROWS):
            batch = ordered[start : start + _BATCH_ROWS]
            try:
                async with self._database.transaction() as session:
                    for first in range(0, len(batch), _AT_A_TIME):
                        if lull is not None:
                            await lull.wait(_LONGEST_WAIT_S)
                        await self._write(session, batch[first : first + _AT_A_TIME])
            except OUTAGE:
                self.dropped += len(ordered) - start
                return

    async def _write(self, session: Session, batch: Sequence[tuple[Pubkey, PositionSample | None]]) -> None:
        await session.executemany(
            "upsert_position", [self._row(sample) for _, sample in batch if sample is not None]
        )
        await session.executemany(
            "delete_position", [(str(address),) for address, sample in batch if sample is None]
        )

    def _row(self, sample: PositionSample) -> Row:
        position = sample.position
        return (
            str(position.address),
            str(position.owner),
            self._owner.cluster,
            self._owner.program_id,
            clean(position.symbol),
            position.side.value,
            position.size_e6,
            position.collateral_e6,
            position.entry_price_e6,
            position.leverage,
            position.maintenance_margin_e6,
            sample.mark_price_e6,
            _health_factor(sample.health),
            sample.band.value,
            position.slot,
            moment(sample.at_ns),
        )


def _health_factor(health: Health | None) -> float | None:
    """For people and their queries; a position without value has no factor."""
    if health is None:
        return None
    factor = health.factor
    return factor if math.isfinite(factor) else None
