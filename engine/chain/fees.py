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
    """The next fee does not fit into the day's budget; the message says how much of how much is gone.

    `is_paid` when it is paid already; else part of it is in flight, and comes back if that expires.
    """

    def __init__(self, message: str, *, is_paid: bool) -> None:
        super().__init__(message)
        self.is_paid = is_paid


@dataclass(frozen=True, slots=True)
class FeeLimits:
    """The operator's limits: a floor price, a cap for one transaction, a budget for one day (UTC)."""

    floor_microlamports: int
    cap_lamports: int
    daily_budget_lamports: int


class PriorityFees:
    """Chooses the compute-unit price of a transaction."""

    def __init__(
        self,
        chain: Chain,
        writable: Sequence[Pubkey],
        limits: FeeLimits,
        clock: Clock,
        compute_unit_limit: int,
    ) -> None:
        self._chain = chain
        self._writable = tuple(writable)
        self._limits = limits
        self._compute_unit_limit = compute_unit_limit  # of a transaction of which nothing is known so far
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

    def lowest_lamports(self) -> int:
        """What a transaction costs now where the least value is at risk, the base fee included."""
        limit = self._compute_unit_limit
        price = self.choose_microlamports(value_e6=0, attempt=1, compute_unit_limit=limit)
        return BASE_FEE_LAMPORTS + priority_fee_lamports(price, limit)

    def check_budget(self, *, paid_lamports: int, in_flight_lamports: int, next_lamports: int) -> None:
        """Raise FeeBudgetSpent when the next transaction's fee does not fit into the day's budget.

        `paid_lamports` of today; `in_flight_lamports` is what transactions in flight may still cost.
        """
        budget = self._limits.daily_budget_lamports
        left = budget - paid_lamports - next_lamports
        if left < in_flight_lamports:
            raise FeeBudgetSpent(
                f"{paid_lamports} of {budget} lamports paid today (UTC), {in_flight_lamports} in flight",
                is_paid=left < 0,
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
