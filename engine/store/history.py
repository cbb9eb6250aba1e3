"""What the engine asks the database about the past: figures for viewers, and what it already recorded."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain import NO_FAILURE
from engine.journal import FundTransactionKind
from engine.store.pool import Database
from engine.store.rows import Owner, moment

DAY_NS = 86_400 * 10**9
KNOWN_FUND_TRANSACTIONS = 10_000


@dataclass(frozen=True, slots=True)
class PeriodTotals:
    """What one wallet's attempts came to in a period; `failed` are without those of NO_FAILURE."""

    attempts: int
    full: int
    partial: int
    already_liquidated: int
    failed: int
    fees_lamports: int
    rewards_lamports: int
    covered_lamports: int
    uncovered_lamports: int


async def totals_of_last_day(database: Database, identity: str, now_ns: int) -> PeriodTotals:
    """The totals of the last 24 hours by the time at which each outcome became known."""
    owner = Owner.parse(identity)
    (row,) = await database.fetch(
        "totals_since",
        owner.cluster,
        owner.liquidator,
        owner.program_id,
        moment(now_ns - DAY_NS),
        [outcome.value for outcome in NO_FAILURE],
    )
    return PeriodTotals(**{name: int(value) for name, value in row.items()})


async def known_fund_transactions(
    database: Database, identity: str
) -> set[tuple[str, FundTransactionKind, int]]:
    """(signature, kind, event index) of the newest 10,000 movements of the fund that are recorded."""
    owner = Owner.parse(identity)
    found = await database.fetch(
        "known_fund_transactions", owner.cluster, owner.program_id, KNOWN_FUND_TRANSACTIONS
    )
    return {
        (row["signature"], FundTransactionKind(row["transaction_type"]), row["event_index"]) for row in found
    }
