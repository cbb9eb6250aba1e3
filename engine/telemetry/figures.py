"""What the engine knows of itself at one instant: alert rules and metrics read nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.chain.port import EndpointReport


@dataclass(frozen=True, slots=True)
class HistogramFigures:
    """Durations since the start by upper bound in microseconds, the last count without one; and their sum."""

    bounds_us: tuple[int, ...]
    counts: tuple[int, ...]
    sum_us: int

    def above(self, bound_us: int) -> int:
        """How many took longer than this bound, which must be one of `bounds_us`."""
        return sum(self.counts[self.bounds_us.index(bound_us) + 1 :])

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class PriceFigures:
    """One symbol's price; `verdict` is "ok" while it may be acted on."""

    symbol: str
    verdict: str
    is_halted: bool
    age_ms: int | None  # None before the first price
    held_ms: int  # in holds that have ended


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at the engine. Counts are since its start; `None` is what was not read yet.

    `why_…` are texts for operators, empty while there is nothing to tell.
    """

    at_ns: int
    monotonic_ns: int
    started_at_ns: int
    is_ready: bool
    # The gate.
    is_stopped: bool
    stopped_by: str
    stopped_by_itself: bool
    stop_reason: str
    # What was done.
    full: int
    partial: int
    done: Mapping[tuple[str, str], int]  # the same by action and symbol, of every symbol that is watched
    failed: int
    attempts: int
    already_liquidated: int
    rehearsed: int  # by a dry run: they would have liquidated
    failed_by_outcome: Mapping[str, int]
    fees_lamports: int
    fees_today_lamports: int
    fee_budget_lamports: int
    bad_debt_covered_lamports: int
    bad_debt_uncovered_lamports: int
    # Positions.
    positions: Mapping[str, int]  # by band
    undecidable: Mapping[str, int]  # by reason: unknown for another one than their price
    # What is under way.
    queue_length: int
    queue_refused: int
    in_flight: int
    unread: int
    # The fund and the wallet, in lamports.
    fund_lamports: int | None
    fund_minimum_lamports: int
    fund_contributions_lamports: int
    fund_covered_lamports: int
    fund_utilization_bps: int
    wallet_lamports: int | None
    why_nothing_is_sent: str
    # The cluster and the prices.
    slot: int
    is_subscribed: bool
    is_current: bool
    why_not_current: str
    endpoints: tuple[EndpointReport, ...]  # their texts cleaned
    disputes: tuple[str, ...]
    prices: tuple[PriceFigures, ...]
    second_source: str  # off, connecting, ok, away, refused
    second_source_message: str
    holds: Mapping[tuple[str, str], int]  # holds begun, by symbol and reason
    # The record.
    database_state: str
    database_message: str
    journal_backlog: int
    journal_capacity: int
    # Time.
    stages: Mapping[str, HistogramFigures] = field(default_factory=dict)
    loop_lag: HistogramFigures | None = None
