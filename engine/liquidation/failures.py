"""Liquidations that were given up: kept for the operator, and resting before the engine tries anew."""

from __future__ import annotations

from dataclasses import replace

import structlog
from solders.pubkey import Pubkey

from engine.clock import Clock
from engine.domain import OutcomeClass
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.journal.records import FailedLiquidation, FailedStatus
from engine.liquidation.queue import Entry

log = structlog.get_logger("failures")

COOLDOWN_NS = 30 * 10**9


class Failures:
    """The failed liquidations by id. A failed position rests; a retry or its own success ends the failure."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._failed = {failed.liquidation_id: failed for failed in journal.failed()}
        self._resting: dict[Pubkey, int] = {}  # monotonic end of the rest

    def __len__(self) -> int:
        return len(self._failed)

    def __contains__(self, liquidation_id: str) -> bool:
        return liquidation_id in self._failed

    @property
    def rows(self) -> list[FailedLiquidation]:
        """The failed liquidations, newest first."""
        return sorted(self._failed.values(), key=lambda failed: failed.last_at_ns, reverse=True)

    def get(self, liquidation_id: str) -> FailedLiquidation | None:
        """One failed liquidation, None when there is none of that id."""
        return self._failed.get(liquidation_id)

    def is_resting(self, position: Pubkey) -> bool:
        """Whether the position failed a short while ago and is left alone for now."""
        until = self._resting.get(position)
        if until is None:
            return False
        if self._clock.monotonic_ns() < until:
            return True
        del self._resting[position]
        return False

    async def add(self, entry: Entry, outcome: OutcomeClass, message: str) -> None:
        """The attempts of this entry are used up."""
        now_ns = self._clock.now_ns()
        before = self._failed.get(entry.liquidation_id)
        failed = FailedLiquidation(
            liquidation_id=entry.liquidation_id,
            position=entry.address,
            owner=entry.owner,
            symbol=entry.symbol,
            outcome=outcome,
            error_message=message,
            attempts=entry.attempt + (before.attempts if before else 0),
            first_at_ns=before.first_at_ns if before else entry.detected_at_ns,
            last_at_ns=now_ns,
        )
        self._resting[entry.address] = self._clock.monotonic_ns() + COOLDOWN_NS
        self._failed[entry.liquidation_id] = failed
        await self._keep(failed)

    async def change(self, liquidation_id: str, status: FailedStatus) -> None:
        """Set the status: RETRYING ends the rest, DISMISSED and RESOLVED take the failure off the list."""
        failed = self._failed[liquidation_id]
        changed = replace(failed, status=status)
        self._resting.pop(failed.position, None)
        if status in (FailedStatus.DISMISSED, FailedStatus.RESOLVED):
            del self._failed[liquidation_id]
        else:
            self._failed[liquidation_id] = changed
        await self._keep(changed)

    async def resolve_position(self, position: Pubkey) -> None:
        """The position was liquidated, or needs it no longer: its failures are settled."""
        for failed in [each for each in self._failed.values() if each.position == position]:
            await self.change(failed.liquidation_id, FailedStatus.RESOLVED)

    async def _keep(self, failed: FailedLiquidation) -> None:
        try:
            await self._journal.record_failed(failed)
        except JournalUnavailable as error:
            # The list in memory stays true; an outcome row of every attempt is in the journal already.
            log.error("failed liquidation not recorded", reason=str(error))
