"""What machines get that ask by the operational guide; a console has its own picture in `engine.api.wire`."""

from __future__ import annotations

from engine.api.message import Message
from engine.api.wire import (
    BookView,
    ChainView,
    DatabaseView,
    EngineView,
    FailedRow,
    FundView,
    GateView,
    LatencyBoard,
    LoopLagView,
    PositionRow,
    Totals,
    WalletView,
)


class Health(Message, frozen=True):
    """The process lives; whether it can work is another question."""

    status: str


class FundBalance(Message, frozen=True):
    """The insurance fund by the names of the operational guide: lamports, a ratio, and Unix seconds."""

    balance: int
    balance_formatted: str
    utilization_ratio: float
    total_contributions: int
    total_bad_debt_covered: int
    last_updated: int


class ReadyCheck(Message, frozen=True):
    """One thing that the engine's work rests on; it is not ready while a required one is not ok."""

    name: str
    ok: bool
    required: bool
    detail: str


class Readiness(Message, frozen=True):
    """Whether the engine could liquidate now, and what that rests on. A stopped engine may well be ready."""

    ready: bool
    state: str  # of the gate: running or stopped
    checks: list[ReadyCheck]


class PendingPosition(PositionRow, frozen=True):
    """A position that is at risk or liquidatable, with its health as the operational guide reads it."""

    health_factor: float


class Pending(Message, frozen=True):
    """The positions with the lowest health, lowest first; of those at or above `min_health` if it is given.

    `total` counts all that are at risk or liquidatable.
    """

    positions: list[PendingPosition]
    total: int
    limit: int


class PositionPage(Message, frozen=True):
    """Positions in no order. `next` goes into the next request; null means that these were the last.

    The book changes meanwhile: whoever moves in it between two pages may come twice, or not at all.
    """

    positions: list[PositionRow]
    monitored: int
    next: int | None


class FailedPage(Message, frozen=True):
    """Liquidations that were given up and wait for somebody, the newest first."""

    failed: list[FailedRow]
    total: int


class Stats(Message, frozen=True):
    """The engine's figures without its lists."""

    engine: EngineView
    gate: GateView
    chain: ChainView
    wallet: WalletView
    database: DatabaseView
    book: BookView
    queue_length: int
    in_flight: int
    failed_length: int
    fund: FundView | None
    latency: LatencyBoard
    loop_lag: LoopLagView
    totals: Totals
