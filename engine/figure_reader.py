"""Reads the engine's parts into the figures that alert rules and metrics are made of; awaits nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from engine.api.clean import clean
from engine.book.holdings import Holdings
from engine.chain.port import Chain, EndpointReport
from engine.clock import Clock
from engine.control import Gate, GateState
from engine.domain import Action, OutcomeClass, Verdict
from engine.fund import FundWatcher
from engine.ingest import Ingest
from engine.journal.journal import MAX_BACKLOG, Journal
from engine.liquidation.funds import Funds
from engine.liquidation.queue import LiquidationQueue
from engine.liquidation.sol_price import SolPrice
from engine.liquidation.tracker import Tracker
from engine.oracle.board import PriceBoard
from engine.oracle.hermes import HermesClient
from engine.protocol.margin import utilization_bps
from engine.risk_board import RiskBoard
from engine.stopping.emergency import BY_ENGINE
from engine.telemetry.figures import Figures, HistogramFigures, PriceFigures
from engine.telemetry.latency import BOUNDS_US, Latencies, Latency
from engine.telemetry.loop_lag import BOUNDS_US as LAG_BOUNDS_US
from engine.telemetry.loop_lag import LoopLag
from engine.telemetry.tally import Tally
from engine.wallet.watch import WalletWatch

FIRST_START = "first start"  # so the reason of that wait begins
NAME_LIMIT = 60
TEXT_LIMIT = 160


class Shipping(Protocol):
    """The state of the outbox on its way to PostgreSQL; see engine.store.outbox."""

    state: str
    message: str


class FigureReader:
    """Takes the figures in the engine's loop."""

    def __init__(
        self,
        *,
        started_at_ns: int,
        fund_minimum_lamports: int,
        fee_budget_lamports: int,
        is_ready: Callable[[], bool],
        gate: Gate,
        chain: Chain,
        ingest: Ingest,
        wallet: WalletWatch,
        shipping: Shipping,
        journal: Journal,
        risks: RiskBoard,
        holdings: Holdings,
        board: PriceBoard,
        hermes: HermesClient,
        queue: LiquidationQueue,
        tracker: Tracker,
        funds: Funds,
        sol_price: SolPrice,
        fund: FundWatcher,
        latencies: Latencies,
        loop_lag: LoopLag,
        tally: Tally,
        clock: Clock,
    ) -> None:
        self._started_at_ns = started_at_ns
        self._fund_minimum_lamports = fund_minimum_lamports
        self._fee_budget_lamports = fee_budget_lamports
        self._is_ready = is_ready
        self._gate = gate
        self._chain = chain
        self._ingest = ingest
        self._wallet = wallet
        self._shipping = shipping
        self._journal = journal
        self._risks = risks
        self._holdings = holdings
        self._board = board
        self._hermes = hermes
        self._queue = queue
        self._tracker = tracker
        self._funds = funds
        self._sol_price = sol_price
        self._fund = fund
        self._latencies = latencies
        self._loop_lag = loop_lag
        self._tally = tally
        self._clock = clock

    def read(self) -> Figures:
        """The engine now."""
        gate, fund, tally = self._gate.state, self._fund.state, self._tally
        now_ns = self._clock.now_ns()
        is_current = self._ingest.node_is_current()
        covered = 0 if fund is None else fund.total_bad_debt_covered_lamports
        contributed = 0 if fund is None else fund.total_contributions_lamports
        return Figures(
            at_ns=now_ns,
            monotonic_ns=self._clock.monotonic_ns(),
            started_at_ns=self._started_at_ns,
            is_ready=self._is_ready(),
            is_stopped=not gate.is_running,
            stopped_by=gate.by,
            stopped_by_itself=not gate.is_running and _is_own(gate),
            stop_reason=gate.reason,
            full=tally.full,
            partial=tally.partial,
            done={
                (action.value, clean(symbol, NAME_LIMIT)): tally.done[action, symbol]
                for action in (Action.FULL, Action.PARTIAL)
                for symbol in self._board.symbols
            },
            failed=tally.failed,
            attempts=tally.attempts,
            already_liquidated=tally.already_liquidated,
            rehearsed=tally.rehearsed,
            failed_by_outcome={each.value: tally.failed_by_outcome[each] for each in OutcomeClass},
            fees_lamports=tally.fees_lamports,
            fees_today_lamports=self._journal.fees_of_day(now_ns),
            fee_budget_lamports=self._fee_budget_lamports,
            bad_debt_covered_lamports=tally.bad_debt_covered_lamports,
            bad_debt_uncovered_lamports=tally.bad_debt_uncovered_lamports,
            positions=self._positions(),
            undecidable=self._undecidable(),
            queue_length=len(self._queue),
            queue_refused=self._queue.refused,
            in_flight=len(self._tracker),
            unread=len(self._tracker.unread),
            fund_lamports=None if fund is None else fund.balance_lamports,
            fund_minimum_lamports=self._fund_minimum_lamports,
            fund_contributions_lamports=contributed,
            fund_covered_lamports=covered,
            fund_utilization_bps=utilization_bps(covered, contributed),
            wallet_lamports=self._wallet.balance_lamports,
            why_nothing_is_sent=self._why_nothing_is_sent(),
            slot=self._ingest.slot,
            is_subscribed=self._ingest.subscribed,
            is_current=is_current,
            why_not_current="" if is_current else clean(self._chain.why_not_current(), TEXT_LIMIT),
            endpoints=tuple(_endpoint(report) for report in self._chain.endpoints()),
            disputes=tuple(clean(text, TEXT_LIMIT) for text in self._chain.disputes()[:3]),
            prices=tuple(self._price(symbol, now_ns) for symbol in self._board.symbols),
            second_source=self._hermes.state.value,
            second_source_message=clean(self._hermes.message, TEXT_LIMIT),
            holds={_symbol_and_reason(key): count for key, count in self._board.holds.begun.items()},
            database_state=self._shipping.state,
            database_message=clean(self._shipping.message, TEXT_LIMIT),
            journal_backlog=self._journal.backlog(),
            journal_capacity=MAX_BACKLOG,
            stages={
                "detect_to_submit": _histogram(self._latencies.detect_to_submit),
                "submit_to_confirm": _histogram(self._latencies.submit_to_confirm),
                "detect_to_confirm": _histogram(self._latencies.detect_to_confirm),
                "finality_wait": _histogram(self._latencies.finality_wait),
            },
            loop_lag=HistogramFigures(LAG_BOUNDS_US, tuple(self._loop_lag.counts), self._loop_lag.sum_us),
        )

    def _positions(self) -> dict[str, int]:
        counts = self._risks.bands(refreshed=0)
        return {
            "healthy": counts.healthy,
            "at risk": counts.at_risk,
            "liquidatable": counts.liquidatable,
            "unknown": counts.unknown + len(self._holdings.unread),
        }

    def _undecidable(self) -> dict[str, int]:
        """Positions that no price will make known: accounts and terms that cannot be read."""
        reasons = dict(self._holdings.book.unknowns.reasons)
        for reason, count in self._holdings.unread.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
        return {clean(reason, NAME_LIMIT): count for reason, count in reasons.items() if count}

    def _why_nothing_is_sent(self) -> str:
        whys = (self._funds.why_short(), self._sol_price.why_held(), self._journal.why_closed())
        return "; ".join(why for why in whys if why)

    def _price(self, symbol: str, now_ns: int) -> PriceFigures:
        price, hold = self._board.current(symbol), self._board.hold(symbol)
        age_ms = max(0, now_ns - price.publish_time_s * 10**9) // 10**6 if price.publish_time_s else None
        return PriceFigures(
            symbol=clean(symbol, NAME_LIMIT),
            verdict="ok" if price.verdict is Verdict.OK else price.verdict.value,
            is_halted=hold is not None and hold.is_halted,
            age_ms=age_ms,
            held_ms=self._board.holds.held_ns.get(symbol, 0) // 10**6,
        )


def _is_own(gate: GateState) -> bool:
    """Whether the engine stopped itself.

    Its wait for an operator at the first start on a cluster is in its own name, too, and no alarm.
    """
    return gate.by == BY_ENGINE and not gate.reason.startswith(FIRST_START)


def _endpoint(report: EndpointReport) -> EndpointReport:
    """With texts that may be shown."""
    return replace(report, name=clean(report.name, NAME_LIMIT), why=clean(report.why, TEXT_LIMIT))


def _histogram(latency: Latency) -> HistogramFigures:
    return HistogramFigures(BOUNDS_US, tuple(latency.histogram.counts), latency.histogram.sum_us)


def _symbol_and_reason(key: str) -> tuple[str, str]:
    symbol, _, reason = key.partition(": ")
    return clean(symbol, NAME_LIMIT), clean(reason, NAME_LIMIT)
