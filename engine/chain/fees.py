"""The priority fee: recent fees of the accounts that we write, raised by value and attempt, and capped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from solders.pubkey import Pubkey

from engine.chain.port import Chain, RpcFailure
from engine.clock import Clock

log = structlog.get_logger("chain")

REFRESH_S = 5.0
BASE_FEE_LAMPORTS = 5_000  # per signature; our transactions have one

# (value at risk in USD from which it holds, percentile of recent fees)
_TIERS = ((100_000, 90), (10_000, 75), (0, 50))


class FeeBudgetSpent(Exception):
    """Today's priority fees have used up the budget; nothing is signed until it renews or is raised."""


@dataclass(frozen=True, slots=True)
class FeeLimits:
    """The operator's limits: a floor price, a cap for one transaction, a budget for one day (UTC)."""

    floor_microlamports: int
    cap_lamports: int
    daily_budget_lamports: int


class PriorityFees:
    """Chooses the compute-unit price of a transaction."""

    def __init__(self, chain: Chain, writable: Sequence[Pubkey], limits: FeeLimits, clock: Clock) -> None:
        self._chain = chain
        self._writable = tuple(writable)
        self._limits = limits
        self._clock = clock
        self._recent: list[int] = []

    def choose_microlamports(self, *, value_e6: int, attempt: int, compute_unit_limit: int) -> int:
        """Micro-lamports per compute unit: the tier's percentile, times the attempt, under the cap.

        `attempt` counts from 1. The cap bounds price * limit / 1e6 lamports.
        """
        value_usd = value_e6 // 10**6
        percentile = next(percent for floor, percent in _TIERS if value_usd >= floor)
        price = max(self._limits.floor_microlamports, self._percentile(percentile)) * attempt
        return min(price, self._limits.cap_lamports * 10**6 // compute_unit_limit)

    def check_budget(self, committed_lamports: int, next_lamports: int) -> None:
        """Raise FeeBudgetSpent when the next transaction's fee does not fit into the day's budget.

        `committed_lamports` is what was paid today and what transactions in flight may still cost.
        """
        if committed_lamports + next_lamports > self._limits.daily_budget_lamports:
            raise FeeBudgetSpent(
                f"fee budget spent: {committed_lamports} of {self._limits.daily_budget_lamports} lamports "
                "today (UTC); raise FEE_BUDGET_LAMPORTS or wait"
            )

    async def run(self) -> None:
        """Keep the recent fees current; ends only by cancellation."""
        while True:
            try:
                self._recent = sorted(await self._chain.recent_priority_fees(self._writable))
            except RpcFailure as failure:
                log.warning("recent priority fees unknown", reason=str(failure))
            await self._clock.sleep(REFRESH_S)

    def _percentile(self, percent: int) -> int:
        if not self._recent:
            return 0
        return self._recent[min(len(self._recent) - 1, len(self._recent) * percent // 100)]


def priority_fee_lamports(microlamports: int, compute_unit_limit: int) -> int:
    """What the network charges on top of the base fee: price * limit, rounded up to a lamport."""
    return -(-microlamports * compute_unit_limit // 10**6)
