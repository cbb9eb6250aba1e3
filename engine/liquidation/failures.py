"""Liquidations that were given up: kept for the operator, and resting before the engine tries anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from solders.pubkey import Pubkey

from engine.clock import Clock
from engine.domain import OutcomeClass
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.journal.records import MAX_HISTORY, FailedLiquidation, FailedStatus
from engine.liquidation.queue import Entry

log = structlog.get_logger("failures")

REST_S = 30
# What the node or the market mends by itself is tried again soon: a long rest loses money.
_SHORT_REST_S = dict.fromkeys(
    (
        OutcomeClass.NODE_ERROR,
        OutcomeClass.TIMEOUT,
        OutcomeClass.BLOCKHASH_EXPIRED,
        OutcomeClass.STALE_PRICE,
    ),
    5,
)
# What the program refuses it refuses again, at the price of a fee: each rest is twice the one before.
LONGEST_REST_S = 3600


@dataclass(frozen=True, slots=True)
class _Rest:
    """How long a position is left alone; `refusals` of the program in a row led there."""

    until_ns: int  # monotonic
    refusals: int
    shortest_ns: int  # monotonic: not before this, even if the account changes


class Failures:
    """The failed liquidations by id, one per position. A retry or the chain's own word ends a failure.

    `is_tried` says whether a position is being liquidated just now: then that is where it is to be seen, and
    its failure is only remembered, for its id and its history.
    """

    def __init__(self, journal: Journal, clock: Clock, is_tried: Callable[[Pubkey], bool]) -> None:
        self._journal = journal
        self._clock = clock
        self._is_tried = is_tried
        self._failed = {failed.liquidation_id: failed for failed in journal.failed()}
        self._by_position = {failed.position: failed.liquidation_id for failed in journal.failed()}
        self._rests: dict[Pubkey, _Rest] = {}

    def __len__(self) -> int:
        return len(self._failed)

    def __contains__(self, liquidation_id: str) -> bool:
        return liquidation_id in self._failed

    @property
    def rows(self) -> list[FailedLiquidation]:
        """The failed liquidations that are not being tried just now, newest first."""
        idle = [failed for failed in self._failed.values() if not self._is_tried(failed.position)]
        return sorted(idle, key=lambda failed: failed.last_at_ns, reverse=True)

    def get(self, liquidation_id: str) -> FailedLiquidation | None:
        """One failed liquidation, None when there is none of that id."""
        return self._failed.get(liquidation_id)

    def id_of(self, position: Pubkey) -> str | None:
        """The id under which a position's liquidation was given up, None when it was not."""
        return self._by_position.get(position)

    def is_resting(self, position: Pubkey) -> bool:
        """Whether the position failed a short while ago and is left alone for now."""
        rest = self._rests.get(position)
        return rest is not None and self._clock.monotonic_ns() < rest.until_ns

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
            history=((before.history if before else ()) + entry.history)[-MAX_HISTORY:],
        )
        self._rests[entry.address] = self._rest_after(entry.address, outcome)
        self._failed[entry.liquidation_id] = failed
        self._by_position[entry.address] = entry.liquidation_id
        await self._keep(failed)

    def _rest_after(self, position: Pubkey, outcome: OutcomeClass) -> _Rest:
        now_ns = self._clock.monotonic_ns()
        shortest_ns = now_ns + _SHORT_REST_S.get(outcome, REST_S) * 10**9
        if outcome is not OutcomeClass.PROGRAM_ERROR:
            return _Rest(shortest_ns, 0, shortest_ns)
        before = self._rests.get(position)
        refusals = 1 if before is None else before.refusals + 1
        rest_s = min(REST_S * 2 ** min(refusals - 1, 10), LONGEST_REST_S)
        return _Rest(now_ns + rest_s * 10**9, refusals, shortest_ns)

    def account_changed(self, position: Pubkey) -> None:
        """What the program refused it may take now: the long rest ends. The first one is kept to.

        Its refusals still count, so that an owner who changes his account all the time wins nothing.
        """
        rest = self._rests.get(position)
        if rest is not None and rest.until_ns > rest.shortest_ns:
            self._rests[position] = replace(rest, until_ns=rest.shortest_ns)

    @property
    def resting(self) -> list[Pubkey]:
        """Positions that are left alone for now."""
        return [position for position in self._rests if self.is_resting(position)]

    async def change(self, liquidation_id: str, status: FailedStatus) -> None:
        """Set the status; DISMISSED and RESOLVED take the failure off the list.

        RETRYING and RESOLVED end the rest. A dismissed one goes on resting: it is the list that the operator
        tidies up. One that is on the list no longer stays off it.
        """
        failed = self._failed.get(liquidation_id)
        if failed is None:
            return
        changed = replace(failed, status=status)
        if status in (FailedStatus.RETRYING, FailedStatus.RESOLVED):
            self._rests.pop(failed.position, None)
        if status in (FailedStatus.DISMISSED, FailedStatus.RESOLVED):
            del self._failed[liquidation_id]
            if self._by_position.get(failed.position) == liquidation_id:
                del self._by_position[failed.position]
        else:
            self._failed[liquidation_id] = changed
        await self._keep(changed)

    async def resolve_position(self, position: Pubkey) -> None:
        """The position was liquidated, or needs it no longer: its failure is settled, its rests forgotten."""
        self._rests.pop(position, None)
        liquidation_id = self._by_position.get(position)
        if liquidation_id is not None:
            await self.change(liquidation_id, FailedStatus.RESOLVED)

    async def resolve_gone(self, is_held: Callable[[Pubkey], bool]) -> None:
        """Settle the failures of positions that somebody else closed; forget rests that are long over."""
        now_ns = self._clock.monotonic_ns()
        stale = [
            position
            for position, rest in self._rests.items()
            if position not in self._by_position and now_ns >= rest.until_ns
        ]
        for position in stale:
            del self._rests[position]
        for position in [each for each in self._by_position if not is_held(each)]:
            await self.resolve_position(position)

    async def _keep(self, failed: FailedLiquidation) -> None:
        try:
            await self._journal.record_failed(failed)
        except JournalUnavailable as error:
            # The list in memory stays true; an outcome row of every attempt is in the journal already.
            log.error("failed liquidation not recorded", reason=str(error))
