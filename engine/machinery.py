"""The parts that watch, decide and act, each made when it is first asked for and given to the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.chain.account_reader import AccountReader
from engine.chain.blockhash import BlockhashCache
from engine.chain.confirmations import Confirmations
from engine.chain.feed_fitness import FeedFitness
from engine.chain.fees import FeeLimits, PriorityFees
from engine.chain.port import Chain
from engine.chain.subscriptions import LiveFeeds
from engine.clock import Clock
from engine.control import Gate
from engine.fund import FundWatcher
from engine.ingest import Ingest
from engine.journal.journal import Journal
from engine.liquidation.aftermath import Aftermath
from engine.liquidation.compute_limits import ComputeLimits
from engine.liquidation.departure import Departures
from engine.liquidation.detector import Detector, new_liquidation_ids
from engine.liquidation.executor import Executor
from engine.liquidation.failures import Failures
from engine.liquidation.funds import Funds
from engine.liquidation.queue import LiquidationQueue
from engine.liquidation.retry import Retries
from engine.liquidation.sol_price import SolPrice
from engine.liquidation.tracker import Tracker, Wire
from engine.liquidation.transaction import TransactionBuilder
from engine.lull import Lull
from engine.node_watch import NodeWatch
from engine.oracle.board import PriceBoard
from engine.oracle.hermes import HermesClient
from engine.phase import Heights, Phase
from engine.price_feeds import watched_feeds
from engine.price_watch import PriceWatch
from engine.protocol.addresses import SOL_USD
from engine.rehearsal import Rehearsal
from engine.risk_board import RiskBoard
from engine.settings import Settings
from engine.stopping.sentinel import Cause
from engine.telemetry.events import EventLog
from engine.telemetry.latency import Latencies
from engine.telemetry.loop_lag import LoopLag
from engine.telemetry.tally import Tally
from engine.vigil import Vigil
from engine.wallet.signer import Signer
from engine.wallet.watch import WalletWatch

QUEUE_CAPACITY = 100_000


@dataclass(kw_only=True, eq=False)
class Machinery(ABC):
    """What an engine works with. `wire` is the one gated way out; its owner keeps its connections open.

    Two parts that need each other: one of them asks through a function, once both are there.
    """

    settings: Settings
    signer: Signer
    chain: Chain
    wire: Wire
    journal: Journal
    gate: Gate
    clock: Clock
    is_dry_run: bool = False
    make_ids: Callable[[int], list[str]] = new_liquidation_ids

    @abstractmethod
    def trip(self, cause: Cause, what: str) -> None:
        """Stop the engine for good, for a person to look at."""

    # ------------------------------------------------------------------ what is counted and told

    @cached_property
    def phase(self) -> Phase:
        return Phase()

    @cached_property
    def heights(self) -> Heights:
        return Heights()

    @cached_property
    def events(self) -> EventLog:
        return EventLog(self.clock)

    @cached_property
    def tally(self) -> Tally:
        return Tally()

    @cached_property
    def latencies(self) -> Latencies:
        return Latencies()

    @cached_property
    def loop_lag(self) -> LoopLag:
        return LoopLag(self.clock)

    # ------------------------------------------------------------------ what is known

    @cached_property
    def board(self) -> PriceBoard:
        return PriceBoard(watched_feeds(self.settings), self.clock)

    @cached_property
    def holdings(self) -> Holdings:
        book = Book(self.board.symbols, self.settings.at_risk_factor_milli)
        return Holdings(book, self.settings.program_id)

    @cached_property
    def risks(self) -> RiskBoard:
        return RiskBoard(self.holdings.book, self.board, self.clock)

    @cached_property
    def fund(self) -> FundWatcher:
        return FundWatcher(self.chain, self.journal, self.settings.program_id, self.clock)

    @cached_property
    def wallet(self) -> WalletWatch:
        return WalletWatch(self.chain, self.signer.address)

    @cached_property
    def nodes(self) -> NodeWatch:
        return NodeWatch(self.chain, self.events, self.clock)

    @cached_property
    def blockhashes(self) -> BlockhashCache:
        return BlockhashCache(self.chain, self.clock)

    @cached_property
    def accounts(self) -> AccountReader:
        return AccountReader(self.chain)

    @cached_property
    def fitness(self) -> FeedFitness:
        return FeedFitness(self.chain, self.settings.ws_urls, self.clock)

    @cached_property
    def confirmations(self) -> Confirmations:
        return Confirmations(self.settings.ws_urls, self.clock, is_fit=self.fitness.is_fit)

    @cached_property
    def fees(self) -> PriorityFees:
        settings = self.settings
        limits = FeeLimits(
            settings.priority_fee_microlamports,
            settings.priority_fee_cap_lamports,
            settings.fee_budget_lamports,
        )
        return PriorityFees(self.chain, [self.fund.address], limits, self.clock, settings.compute_unit_limit)

    @cached_property
    def sol_price(self) -> SolPrice:
        return SolPrice(self.board, self.clock)

    # ------------------------------------------------------------------ what is heard

    @cached_property
    def prices(self) -> PriceWatch:
        return PriceWatch(board=self.board, detector=self.detector, events=self.events, clock=self.clock)

    @cached_property
    def hermes(self) -> HermesClient:
        return HermesClient(
            url=self.settings.hermes_url,
            key=self.settings.hermes_api_key,
            feeds=self.board.feeds,
            listener=self.prices,
            clock=self.clock,
        )

    @cached_property
    def ingest(self) -> Ingest:
        return Ingest(
            chain=self.chain,
            program_id=self.settings.program_id,
            holdings=self.holdings,
            board=self.board,
            prices=self.prices,
            fund=self.fund,
            wallet=self.wallet,
            detector=self.detector,
            tracker=self.tracker,
            events=self.events,
            clock=self.clock,
            renew_feed=lambda reason: self.feed.renew(reason),  # noqa: PLW0108  # not made yet
        )

    @cached_property
    def feed(self) -> LiveFeeds:
        return LiveFeeds(
            self.settings.ws_urls,
            self.settings.program_id,
            self.ingest.watched,
            self.ingest,
            self.clock,
            steady=self.board.accounts,
            is_fit=self.fitness.is_fit,
            believes=self.fitness.believes,
        )

    @cached_property
    def vigil(self) -> Vigil | None:
        """None: the loop sleeps when there is nothing to do."""
        if not self.settings.low_latency:
            return None
        rehearsal = Rehearsal(
            chain=self.chain,
            journal=self.journal,
            tracker=self.tracker,
            clock=self.clock,
            believes=self.fitness.believes,
            node_is_current=self.ingest.node_is_current,
        )
        return Vigil(
            rehearsal.step,
            self.clock,
            is_busy=lambda: self.queue.has_next or len(self.executor.hands) > 0 or not self.journal.is_idle,
            heard_ns=lambda: self.ingest.updated_at_ns,
        )

    # ------------------------------------------------------------------ what is decided and done

    @cached_property
    def lull(self) -> Lull:
        return Lull(lambda: len(self.executor.hands) > 0, self.clock)

    @cached_property
    def queue(self) -> LiquidationQueue:
        return LiquidationQueue(QUEUE_CAPACITY)

    @cached_property
    def failures(self) -> Failures:
        return Failures(self.journal, self.clock, self.queue.__contains__)

    @cached_property
    def funds(self) -> Funds:
        return Funds(self.wallet, self.events, self.clock, self.settings.wallet_floor_lamports)

    @cached_property
    def limits(self) -> ComputeLimits:
        return ComputeLimits(self.chain, self.settings.compute_unit_limit)

    @cached_property
    def tracker(self) -> Tracker:
        return Tracker(
            chain=self.chain,
            wire=self.wire,
            fund=self.fund.address,
            program_id=self.settings.program_id,
            clock=self.clock,
            rebroadcast_ms=self.settings.rebroadcast_ms,
            is_busy=lambda: self.queue.waits_to_be_sent,
            hints=self.confirmations,
        )

    @cached_property
    def detector(self) -> Detector:
        return Detector(
            holdings=self.holdings,
            board=self.board,
            queue=self.queue,
            failures=self.failures,
            tally=self.tally,
            latencies=self.latencies,
            events=self.events,
            clock=self.clock,
            node_is_current=lambda: self.ingest.node_is_current(),  # noqa: PLW0108  # not made yet
            make_ids=self.make_ids,
        )

    @cached_property
    def retries(self) -> Retries:
        return Retries(
            queue=self.queue,
            failures=self.failures,
            funds=self.funds,
            events=self.events,
            tally=self.tally,
            clock=self.clock,
            attempts=self.settings.retry_attempts,
            base_ms=self.settings.retry_base_ms,
        )

    @cached_property
    def aftermath(self) -> Aftermath:
        return Aftermath(
            journal=self.journal,
            queue=self.queue,
            retries=self.retries,
            failures=self.failures,
            holdings=self.holdings,
            board=self.board,
            detector=self.detector,
            accounts=self.accounts,
            latencies=self.latencies,
            tally=self.tally,
            events=self.events,
            clock=self.clock,
            limits=self.limits,
            on_invariant=lambda what: self.trip(Cause.INVARIANT, what),
        )

    @cached_property
    def departures(self) -> Departures:
        return Departures(
            wire=self.wire,
            journal=self.journal,
            latencies=self.latencies,
            clock=self.clock,
            still_wanted=self.aftermath.still_wanted,
        )

    @cached_property
    def executor(self) -> Executor:
        sol_usd = self.board.feed_of(SOL_USD.symbol) or SOL_USD
        return Executor(
            queue=self.queue,
            holdings=self.holdings,
            board=self.board,
            accounts=self.accounts,
            blockhashes=self.blockhashes,
            fees=self.fees,
            builder=TransactionBuilder(self.signer, self.settings.program_id, sol_usd),
            journal=self.journal,
            gate=self.gate,
            departures=self.departures,
            tracker=self.tracker,
            retries=self.retries,
            funds=self.funds,
            sol_price=self.sol_price,
            clock=self.clock,
            node_is_current=self.ingest.node_is_current,
            limits=self.limits,
            workers=self.settings.workers,
            on_budget_spent=lambda what: self.trip(Cause.BUDGET, what),
            on_invariant=lambda what: self.trip(Cause.INVARIANT, what),
        )
