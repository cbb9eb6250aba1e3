"""Makes the viewers' picture out of the engine's parts; every foreign text is cleaned on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from solders.pubkey import Pubkey

from engine.api import answers, wire
from engine.api.alerts_view import AlertViews
from engine.api.chain_view import ChainViews
from engine.api.clean import clean
from engine.api.news_types import InsuranceFund, PriceUpdate, Pulse, Queue, State
from engine.api.oracle_view import OracleViews
from engine.api.position_view import TEXT_LIMIT, PositionViews, clamp_milli
from engine.api.risk_view import RiskViews, account_reason, unknown_reasons
from engine.book import risk
from engine.book.holdings import Holdings
from engine.clock import Clock
from engine.control import Gate
from engine.domain import Action, Price
from engine.fund import FundWatcher
from engine.journal.journal import Journal
from engine.liquidation.classify import next_step
from engine.liquidation.failures import Failures
from engine.liquidation.funds import Funds
from engine.liquidation.queue import LiquidationQueue, Stage
from engine.liquidation.sol_price import SolPrice
from engine.liquidation.tracker import Tracker
from engine.oracle.board import PriceBoard
from engine.protocol.margin import utilization_bps
from engine.store.history import PeriodTotals
from engine.telemetry.events import EventLog
from engine.telemetry.latency import Latencies, Latency
from engine.telemetry.loop_lag import BOUNDS_US, LoopLag
from engine.telemetry.tally import Tally
from engine.wallet.watch import WalletWatch


class Shipping(Protocol):
    """The state of the outbox on its way to PostgreSQL; see engine.store.outbox."""

    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while the engine runs."""

    version: str
    pid: int
    profile: str
    cluster: str
    started_at_ns: int
    wallet_source: str
    fund_minimum_lamports: int
    is_dry_run: bool = False
    fee_budget_lamports: int | None = None  # of one UTC day


class Snapshots:
    """Builds snapshots and position details on demand; reads only, and awaits nothing."""

    def __init__(
        self,
        *,
        identity: Identity,
        phase: Callable[[], str],
        gate: Gate,
        chain: ChainViews,
        wallet: WalletWatch,
        shipping: Shipping,
        journal: Journal,
        positions: PositionViews,
        risks: RiskViews,
        holdings: Holdings,
        board: PriceBoard,
        oracle: OracleViews,
        queue: LiquidationQueue,
        failures: Failures,
        tracker: Tracker,
        funds: Funds,
        sol_price: SolPrice,
        fund: FundWatcher,
        latencies: Latencies,
        loop_lag: LoopLag,
        tally: Tally,
        alerts: AlertViews,
        events: EventLog,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._phase = phase
        self._gate = gate
        self._chain = chain
        self._wallet = wallet
        self._shipping = shipping
        self._journal = journal
        self._positions = positions
        self._risks = risks
        self._holdings = holdings
        self._board = board
        self._oracle = oracle
        self._queue = queue
        self._failures = failures
        self._tracker = tracker
        self._funds = funds
        self._sol_price = sol_price
        self._fund = fund
        self._latencies = latencies
        self._loop_lag = loop_lag
        self._tally = tally
        self._alerts = alerts
        self._events = events
        self._clock = clock
        self._seq = 0
        self._last_day: wire.LastDay | None = None
        self._command: Callable[[], wire.CommandView | None] = lambda: None

    def take(self) -> wire.Snapshot:
        """The picture now."""
        self._seq += 1
        prices = [self._board.current(symbol) for symbol in self._board.symbols]
        failed_length, failed = self.failed(wire.FAILED_ROWS)
        return wire.Snapshot(
            protocol=wire.PROTOCOL_VERSION,
            seq=self._seq,
            taken_at_ns=self._clock.now_ns(),
            engine=self._engine(prices),
            gate=self.gate(),
            chain=self._chain.view(),
            wallet=self._wallet_view(),
            database=self._database(),
            book=self._book(prices),
            risk=self.risk(),
            at_risk=[
                row
                for address in risk.riskiest(self._holdings.book, prices, wire.AT_RISK_ROWS)
                if (row := self._positions.row(address)) is not None
            ],
            queue_length=len(self._queue),
            in_flight=len(self._tracker),
            queue=self._queue_rows(),
            failed_length=failed_length,
            failed=failed,
            fund=self.fund(),
            prices=[self._oracle.row(price) for price in prices],
            latency=self._latency(),
            loop_lag=self._loop_lag_view(),
            totals=self._totals(),
            events=self._event_rows(),
            oracle=self._oracle.view(),
            alerts=self._alerts.active_rows(),
            command=self._command(),
            fund_refused={clean(reason, TEXT_LIMIT): count for reason, count in self._fund.refused.items()},
        )

    def follow_command(self, view: Callable[[], wire.CommandView | None]) -> None:
        """Show from now on which console may command, as `view` tells it."""
        self._command = view

    def take_last_day(self, totals: PeriodTotals, at_ns: int) -> None:
        """What the database says of the 24 hours before `at_ns`; it stands until the next is told."""
        done = totals.full + totals.partial
        self._last_day = wire.LastDay(done=done, failed=totals.failed, at_ns=at_ns)

    def alerts(self) -> wire.AlertPage:
        """Every alert that is on, and those that are kept of the past."""
        return self._alerts.page()

    def stats(self) -> answers.Stats:
        """The figures of the picture, without its lists: many may ask for them."""
        prices = [self._board.current(symbol) for symbol in self._board.symbols]
        return answers.Stats(
            engine=self._engine(prices),
            gate=self.gate(),
            chain=self._chain.view(),
            wallet=self._wallet_view(),
            database=self._database(),
            book=self._book(prices),
            queue_length=len(self._queue),
            in_flight=len(self._tracker),
            failed_length=len(self._failures),
            fund=self.fund(),
            latency=self._latency(),
            loop_lag=self._loop_lag_view(),
            totals=self._totals(),
        )

    def pulse(self) -> Pulse:
        """What changes from moment to moment, for those who want to be told of it."""
        prices = [self._board.current(symbol) for symbol in self._board.symbols]
        state = self._gate.state
        return Pulse(
            at_ns=self._clock.now_ns(),
            journal_seq=self._journal.last_seq,
            prices=[
                PriceUpdate(
                    symbol=clean(price.symbol, 32),
                    price_e6=price.price_e6,
                    conf_e6=price.conf_e6,
                    publish_time_s=price.publish_time_s,
                    verdict=price.verdict.value,
                )
                for price in prices
            ],
            fund=None
            if (fund := self._fund.state) is None
            else InsuranceFund(
                balance=fund.balance_lamports,
                total_contributions=fund.total_contributions_lamports,
                total_bad_debt_covered=fund.total_bad_debt_covered_lamports,
            ),
            queue=Queue(length=len(self._queue), in_flight=len(self._tracker), failed=len(self._failures)),
            state=State(
                state=state.state,
                version=state.version,
                by=clean(state.by, TEXT_LIMIT),
                since_ns=state.at_ns,
                reason=clean(state.reason, TEXT_LIMIT),
                phase=self._phase(),
            ),
        )

    def risk(self) -> list[wire.SymbolRiskRow]:
        """Each symbol's bands, distances and ladder."""
        return self._risks.rows()

    def gate(self) -> wire.GateView:
        """The gate alone, for the acknowledgement of a command."""
        state = self._gate.state
        return wire.GateView(
            state=state.state,
            version=state.version,
            by=clean(state.by, TEXT_LIMIT),
            at_ns=state.at_ns,
            reason=clean(state.reason, TEXT_LIMIT),
            persisted=self._gate.is_persisted,
            in_flight=len(self._tracker.out),
            last_valid_block_height=self._tracker.last_valid_block_height,
        )

    def detail(self, address: Pubkey) -> wire.PositionDetail | None:
        """One position with its arithmetic and attempts, None when it is not held."""
        return self._positions.detail(address)

    def _engine(self, prices: list[Price]) -> wire.EngineView:
        degraded = self._chain.degraded()
        if self._shipping.state != "ok":
            degraded.append("the database is away: history is late")
        degraded += self._oracle.degraded(prices)
        if unread := len(self._tracker.unread):
            what = "transaction cannot" if unread == 1 else "transactions cannot"
            degraded.append(f"{unread} final {what} be read: what was done is not known yet")
        if short := self._funds.why_short():
            degraded.append(f"nothing is sent: {short}")
        if held := self._sol_price.why_held():
            degraded.append(f"nothing is sent: {held}")
        if closed := self._journal.why_closed():
            degraded.append(f"nothing is sent: {closed}")
        if self._queue.refused:
            degraded.append(f"the queue was full {self._queue.refused} times")
        return wire.EngineView(
            version=self._identity.version,
            pid=self._identity.pid,
            profile=self._identity.profile,
            cluster=self._identity.cluster,
            started_at_ns=self._identity.started_at_ns,
            phase=self._phase(),
            degraded=degraded,
            dry_run=self._identity.is_dry_run,
        )

    def _book(self, prices: list[Price]) -> wire.BookView:
        counts, unread = self._risks.bands(), self._holdings.unread
        reasons = Counter(unknown_reasons(self._holdings.book, prices))
        for reason, count in unread.reasons.items():
            reasons[account_reason(reason)] += count
        return wire.BookView(
            monitored=counts.monitored + len(unread),
            healthy=counts.healthy,
            at_risk=counts.at_risk,
            liquidatable=counts.liquidatable,
            unknown=counts.unknown + len(unread),
            at_risk_value_e6=counts.at_risk_value_e6 + counts.liquidatable_value_e6,
            skipped=dict(self._holdings.skipped),
            unknown_reasons=dict(reasons),
        )

    def _wallet_view(self) -> wire.WalletView:
        return wire.WalletView(
            address=str(self._wallet.address),
            source=self._identity.wallet_source,
            balance_lamports=self._wallet.balance_lamports,
        )

    def _database(self) -> wire.DatabaseView:
        return wire.DatabaseView(
            state=self._shipping.state,
            backlog=self._journal.backlog(),
            message=clean(self._shipping.message, TEXT_LIMIT),
        )

    def _queue_rows(self) -> list[wire.QueueRow]:
        now_ns = self._clock.now_ns()
        held = not self._gate.state.is_running
        # What is still to be sent comes first: the rest only waits for its finality.
        ordered = sorted(
            self._queue,
            key=lambda entry: (entry.stage is Stage.LANDED, entry.health_factor, -entry.value_e6),
        )
        return [
            wire.QueueRow(
                liquidation_id=entry.liquidation_id,
                address=str(entry.address),
                symbol=clean(entry.symbol, 32),
                health_milli=clamp_milli(int(entry.health_factor * 1000)),
                action=entry.action.value,
                stage="held" if held and entry.stage is Stage.QUEUED else entry.stage.value,
                attempt=entry.attempt,
                fee_lamports=entry.fee_lamports,
                age_ms=max(0, now_ns - entry.detected_at_ns) // 10**6,
            )
            for entry in ordered[: wire.QUEUE_ROWS]
        ]

    def failed(self, limit: int) -> tuple[int, list[wire.FailedRow]]:
        """How many liquidations were given up, and the newest of them."""
        rows = self._failures.rows
        return len(rows), [
            wire.FailedRow(
                liquidation_id=failed.liquidation_id,
                address=str(failed.position),
                symbol=clean(failed.symbol, 32),
                outcome=failed.outcome.value,
                message=clean(failed.error_message, TEXT_LIMIT),
                attempts=failed.attempts,
                first_at_ns=failed.first_at_ns,
                last_at_ns=failed.last_at_ns,
                next_step=next_step(failed.outcome),
                history=[
                    wire.FailedAttemptRow(
                        attempt=each.attempt,
                        at_ns=each.at_ns,
                        outcome=each.outcome.value,
                        message=clean(each.message, TEXT_LIMIT),
                        signature=None if each.signature is None else str(each.signature),
                    )
                    for each in failed.history
                ],
            )
            for failed in rows[:limit]
        ]

    def fund(self) -> wire.FundView | None:
        """The insurance fund, None before its account was read."""
        state = self._fund.state
        if state is None:
            return None
        return wire.FundView(
            balance_lamports=state.balance_lamports,
            minimum_lamports=self._identity.fund_minimum_lamports,
            total_contributions_lamports=state.total_contributions_lamports,
            total_bad_debt_covered_lamports=state.total_bad_debt_covered_lamports,
            utilization_bps=utilization_bps(
                state.total_bad_debt_covered_lamports, state.total_contributions_lamports
            ),
            uncovered_bad_debt_lamports=self._tally.bad_debt_uncovered_lamports,
            trend_lamports=list(self._fund.trend),
            updated_at_ns=self._fund.updated_at_ns,
        )

    def _loop_lag_view(self) -> wire.LoopLagView:
        p50, p99 = self._loop_lag.recent.percentiles_us(50, 99)
        return wire.LoopLagView(
            count=self._loop_lag.recent.count,
            p50_us=p50,
            p99_us=p99,
            longest_us=self._loop_lag.longest_us,
            upper_us=list(BOUNDS_US),
            counts=list(self._loop_lag.counts),
            sum_us=self._loop_lag.sum_us,
        )

    def _latency(self) -> wire.LatencyBoard:
        return wire.LatencyBoard(
            detect_to_submit=_latency_view(self._latencies.detect_to_submit),
            submit_to_confirm=_latency_view(self._latencies.submit_to_confirm),
            detect_to_confirm=_latency_view(self._latencies.detect_to_confirm),
            finality_wait=_latency_view(self._latencies.finality_wait),
        )

    def _totals(self) -> wire.Totals:
        tally = self._tally
        landed = self._tracker.confirmed
        good = [each for each in landed if each.status and each.status.fault is None]
        done = Counter(each.intent.action for each in good if each.status and not each.status.is_rehearsal)
        return wire.Totals(
            full=tally.full + done[Action.FULL],
            partial=tally.partial + done[Action.PARTIAL],
            failed=tally.failed,
            already_liquidated=tally.already_liquidated,
            attempts=tally.attempts + len(landed),
            fees_lamports=tally.fees_lamports,
            bad_debt_covered_lamports=tally.bad_debt_covered_lamports,
            bad_debt_uncovered_lamports=tally.bad_debt_uncovered_lamports,
            liquidatable_seen=tally.liquidatable_seen,
            fees_today_lamports=self._journal.fees_of_day(self._clock.now_ns()),
            fee_budget_lamports=self._identity.fee_budget_lamports,
            last_day=self._last_day,
            rehearsed=tally.rehearsed + sum(1 for each in good if each.status and each.status.is_rehearsal),
        )

    def _event_rows(self) -> list[wire.EventRow]:
        return [
            wire.EventRow(
                seq=event.seq, at_ns=event.at_ns, level=event.level.value, text=clean(event.text, TEXT_LIMIT)
            )
            for event in self._events.latest(wire.EVENT_ROWS)
        ]


def _latency_view(latency: Latency) -> wire.LatencyView:
    p50, p95, p99 = latency.percentiles_us(50, 95, 99)
    return wire.LatencyView(
        count=latency.count, p50_us=p50, p95_us=p95, p99_us=p99, recent_us=latency.recent_us
    )
