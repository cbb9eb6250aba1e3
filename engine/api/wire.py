"""What travels between the engine and its viewers: frozen messages, encoded as JSON.

Every text in them has been cleaned by `engine.api.clean` before it is put here: a viewer may print it.
Amounts follow the units of `engine.domain`; `_milli` is thousandths, `_us` microseconds.
"""

from __future__ import annotations

from engine.api.alert_page import AlertPage as AlertPage
from engine.api.alert_page import AlertRow as AlertRow
from engine.api.message import Message as Message
from engine.api.orders import CommandView as CommandView
from engine.api.orders import ContributeRequest as ContributeRequest
from engine.api.orders import ResumeCheck as ResumeCheck
from engine.api.orders import ResumeRequest as ResumeRequest
from engine.api.orders import RetryAllRequest as RetryAllRequest
from engine.api.orders import StopRequest as StopRequest
from engine.api.orders import TakeCommandRequest as TakeCommandRequest
from engine.api.pages import AuditPage as AuditPage
from engine.api.pages import AuditRow as AuditRow
from engine.api.pages import FundHistoryPage as FundHistoryPage
from engine.api.pages import FundMovementRow as FundMovementRow
from engine.api.pages import LiquidationPage as LiquidationPage
from engine.api.pages import LiquidationRow as LiquidationRow
from engine.api.pages import SettingRow as SettingRow
from engine.api.pages import SettingsPage as SettingsPage

PROTOCOL_VERSION = 1
AT_RISK_ROWS = 60
QUEUE_ROWS = 40
FAILED_ROWS = 60
EVENT_ROWS = 200


class GateView(Message, frozen=True):
    """Whether sending is allowed (`state` is running or stopped); after a stop who, when, why."""

    state: str
    version: int
    by: str
    at_ns: int
    reason: str
    persisted: bool
    in_flight: int
    last_valid_block_height: int | None  # none of the in-flight transactions can land above this height


class EngineView(Message, frozen=True):
    """The process; `degraded` lists, in words, what is not as it should be right now."""

    version: str
    pid: int
    profile: str
    cluster: str
    started_at_ns: int
    phase: str  # starting, reconciling, loading, ready, draining
    degraded: list[str]
    dry_run: bool = False  # nothing is ever sent: what it counts and records would have happened


class EndpointRow(Message, frozen=True):
    """How one RPC endpoint stands; `state` is ok, or why it is not used: `why` says it in words.

    `name` is its host and port. `error_permille` is of its last twenty calls, the latencies of its last 200.
    """

    name: str
    state: str  # ok, behind, still, failing, resting, distrusted, foreign, unmet
    why: str
    slot: int
    behind_slots: int
    error_permille: int
    p50_us: int
    p99_us: int
    requests_left: int  # now, of the budget of requests_per_s
    requests_per_s: int


class ChainView(Message, frozen=True):
    """The cluster as the engine sees it."""

    slot: int
    block_height: int
    rpc_ok: int
    rpc_total: int
    subscribed: bool
    updated_at_ns: int
    endpoints: list[EndpointRow] = []


class WalletView(Message, frozen=True):
    """The signing wallet."""

    address: str
    source: str
    balance_lamports: int | None


class DatabaseView(Message, frozen=True):
    """PostgreSQL; `state` is ok or away, `backlog` the journal rows that it has not received yet."""

    state: str
    backlog: int
    message: str


class BookView(Message, frozen=True):
    """How many positions stand where, and what the at-risk and liquidatable ones are worth."""

    monitored: int
    healthy: int
    at_risk: int
    liquidatable: int
    unknown: int
    at_risk_value_e6: int
    skipped: dict[str, int]  # accounts that could not be read, by reason
    unknown_reasons: dict[str, int]  # positions whose health is not known, by reason


class RungRow(Message, frozen=True):
    """What a move of a symbol's mark by `move_bps` would bring: longs for a fall, shorts for a rise.

    `count` and `value_e6` are of the positions that become liquidatable between here and there. The bad debt
    is what that side would owe there beyond its collateral if nothing were liquidated on the way, in lamports
    at the SOL price of that rung; `is_covered` says whether the insurance fund holds as much. Null: unknown.
    """

    move_bps: int
    price_e6: int
    count: int
    value_e6: int
    bad_debt_e6: int
    bad_debt_lamports: int | None
    is_covered: bool | None


class SymbolRiskRow(Message, frozen=True):
    """One symbol's positions by band, how far the next ones are, and the ladder of moves.

    While the price may not be acted on, `why` says so, every position is unknown and the rest is empty.
    Distances are in basis points of the mark: to the next long in a fall, to the next short in a rise.
    """

    symbol: str
    why: str
    price_e6: int | None
    monitored: int
    healthy: int
    at_risk: int
    liquidatable: int
    unknown: int
    healthy_value_e6: int
    at_risk_value_e6: int
    liquidatable_value_e6: int
    next_fall_e6: int | None
    next_fall_bps: int | None
    next_rise_e6: int | None
    next_rise_bps: int | None
    ladder: list[RungRow]
    made_at_ns: int


class PositionRow(Message, frozen=True):
    """One position near or below its liquidation price; null figures mean that they are not known."""

    address: str
    owner: str
    symbol: str
    side: str
    size_e6: int
    leverage: int
    entry_price_e6: int
    collateral_e6: int
    mark_price_e6: int | None
    liquidation_price_e6: int | None
    distance_bps: int | None
    health_milli: int | None
    equity_e6: int | None
    band: str
    why: str


class QueueRow(Message, frozen=True):
    """One position being liquidated; `stage` is queued, signed, sent, landed, waiting or held."""

    liquidation_id: str
    address: str
    symbol: str
    health_milli: int
    action: str
    stage: str
    attempt: int
    fee_lamports: int
    age_ms: int


class FailedAttemptRow(Message, frozen=True):
    """How one attempt of a failed liquidation ended; `signature` is null when nothing was signed."""

    attempt: int
    at_ns: int
    outcome: str
    message: str
    signature: str | None


class FailedRow(Message, frozen=True):
    """A liquidation that was given up, until it is retried, dismissed or resolved by the chain.

    `history` has its last attempts, oldest first.
    """

    liquidation_id: str
    address: str
    symbol: str
    outcome: str
    message: str
    attempts: int
    first_at_ns: int
    last_at_ns: int
    next_step: str
    history: list[FailedAttemptRow] = []


class FundView(Message, frozen=True):
    """The insurance fund; `trend_lamports` holds recent balances, oldest first."""

    balance_lamports: int
    minimum_lamports: int
    total_contributions_lamports: int
    total_bad_debt_covered_lamports: int
    utilization_bps: int
    uncovered_bad_debt_lamports: int
    trend_lamports: list[int]
    updated_at_ns: int


class PriceRow(Message, frozen=True):
    """One symbol's mark price with the oracle step's verdict; `held_since_ns` is null while it is usable.

    `halted` is a hold with no usable price for too long; `second_e6` is what the second source says, null
    unless it is fresh.
    """

    symbol: str
    price_e6: int
    conf_e6: int
    publish_time_s: int
    age_ms: int
    verdict: str
    held_since_ns: int | None
    halted: bool = False
    second_e6: int | None = None
    second_age_ms: int | None = None


class OracleView(Message, frozen=True):
    """The second source (off, connecting, ok, away, refused) and, since the start: what was refused by
    reason, holds begun by symbol and reason, and how long symbols were held until they were let go.
    """

    second_source: str
    message: str
    refused: dict[str, int]
    holds: dict[str, int]
    held_ms: dict[str, int]


class LatencyView(Message, frozen=True):
    """One stage's recent latencies; `recent_us` holds the last ones, oldest first."""

    count: int
    p50_us: int
    p95_us: int
    p99_us: int
    recent_us: list[int]


class LoopLagView(Message, frozen=True):
    """How late the event loop came round: percentiles of late; the longest, and a histogram, since the start.

    `counts[i]` observations were above the bound before and at most `upper_us[i]`; the last one has no bound.
    """

    count: int
    p50_us: int
    p99_us: int
    longest_us: int
    upper_us: list[int] = []
    counts: list[int] = []
    sum_us: int = 0


class LatencyBoard(Message, frozen=True):
    """The three stages, from when the engine could act: to bytes out, bytes out to confirmed, and their sum.

    `finality_wait` is how long positions were liquidatable again before their last transaction was final.
    """

    detect_to_submit: LatencyView
    submit_to_confirm: LatencyView
    detect_to_confirm: LatencyView
    finality_wait: LatencyView | None = None


class LastDay(Message, frozen=True):
    """What this wallet's attempts of the 24 hours before `at_ns` came to, as the database has them."""

    done: int
    failed: int  # without those that somebody else did first
    at_ns: int


class Totals(Message, frozen=True):
    """Counts since the engine started: attempts from confirmation on, amounts from finality."""

    full: int
    partial: int
    failed: int
    already_liquidated: int
    attempts: int
    fees_lamports: int
    bad_debt_covered_lamports: int
    bad_debt_uncovered_lamports: int
    liquidatable_seen: int  # positions that were found liquidatable, each liquidation once
    rehearsed: int = 0  # by a dry run: they would have liquidated, and count as nothing else
    fees_today_lamports: int = 0  # of this UTC day, restarts and all
    fee_budget_lamports: int | None = None  # of a UTC day; nothing is sent that would go beyond it
    last_day: LastDay | None = None  # None before the database was asked


class EventRow(Message, frozen=True):
    """One line of the event log; `level` is info, attention, danger or ours."""

    seq: int
    at_ns: int
    level: str
    text: str


class Snapshot(Message, frozen=True):
    """Everything a viewer shows, taken at one instant."""

    protocol: int
    seq: int
    taken_at_ns: int
    engine: EngineView
    gate: GateView
    chain: ChainView
    wallet: WalletView
    database: DatabaseView
    book: BookView
    risk: list[SymbolRiskRow]
    at_risk: list[PositionRow]
    queue_length: int
    in_flight: int
    queue: list[QueueRow]
    failed_length: int
    failed: list[FailedRow]
    fund: FundView | None
    prices: list[PriceRow]
    latency: LatencyBoard
    loop_lag: LoopLagView
    totals: Totals
    events: list[EventRow]
    oracle: OracleView | None = None
    fund_refused: dict[str, int] = {}  # contents of the fund's account that are no fund, by reason
    alerts: list[AlertRow] = []  # the most urgent of those that are on, 20 at most
    command: CommandView | None = None  # None where every console may command


class AttemptRow(Message, frozen=True):
    """One signed transaction of a position, with the exact inputs of the decision behind it."""

    signature: str
    liquidation_id: str
    attempt: int
    action: str
    amount_e6: int
    outcome: str
    error_message: str | None
    slot: int | None
    fee_lamports: int
    created_at_ns: int
    decision_json: str
    liquidated_by: str | None = None  # who was first, if the chain says so


class PositionDetail(Message, frozen=True):
    """One position with its margin arithmetic and its attempts, newest first."""

    row: PositionRow
    generation: str
    account_slot: int
    maintenance_bps: int | None
    value_e6: int | None
    action: str
    amount_e6: int
    reason: str
    health_history_milli: list[int]
    attempts: list[AttemptRow]


class Acknowledged(Message, frozen=True):
    """What a command did, in words, with the gate after it."""

    message: str
    gate: GateView


class ErrorBody(Message, frozen=True):
    """Why a request was refused; `code` is stable, `message` is for people and says what to do.

    `details` are for programs, such as the parameter that was refused and what it may be.
    """

    code: str
    message: str
    details: dict[str, str] = {}


class ErrorReply(Message, frozen=True):
    """The body of every answer that is not 2xx."""

    error: ErrorBody
