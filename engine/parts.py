"""The engine's parts, made once and given to each other; nothing here runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from engine.alert_watch import AlertWatch
from engine.api.alerts_view import AlertViews
from engine.api.chain_view import ChainViews
from engine.api.oracle_view import OracleViews
from engine.api.position_pages import PositionPages
from engine.api.position_view import PositionViews
from engine.api.readiness import ReadinessView
from engine.api.risk_view import RiskViews
from engine.api.snapshots import Identity, Shipping, Snapshots
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
from engine.commands import Commands
from engine.contribution import Contributions
from engine.control import Gate
from engine.figure_reader import FigureReader
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
from engine.stopping.sentinel import Cause, Sentinel
from engine.telemetry.channels import channels_of, limits_of
from engine.telemetry.events import EventLog
from engine.telemetry.health_history import HealthHistory
from engine.telemetry.latency import Latencies
from engine.telemetry.loop_lag import LoopLag
from engine.telemetry.metrics import Metrics
from engine.telemetry.notices import Notices
from engine.telemetry.tally import Tally
from engine.vigil import Vigil
from engine.wallet.signer import Signer
from engine.wallet.watch import WalletWatch

QUEUE_CAPACITY = 100_000


@dataclass(frozen=True, slots=True)
class Parts:
    """One engine, ready to be run."""

    clock: Clock
    phase: Phase
    chain: Chain
    nodes: NodeWatch
    gate: Gate
    journal: Journal
    holdings: Holdings
    board: PriceBoard
    risks: RiskBoard
    prices: PriceWatch
    hermes: HermesClient
    fund: FundWatcher
    funds: Funds
    wallet: WalletWatch
    queue: LiquidationQueue
    failures: Failures
    tracker: Tracker
    detector: Detector
    executor: Executor
    aftermath: Aftermath
    sentinel: Sentinel
    ingest: Ingest
    vigil: Vigil | None  # None: the loop sleeps when there is nothing to do
    feed: LiveFeeds
    blockhashes: BlockhashCache
    confirmations: Confirmations
    fees: PriorityFees
    history: HealthHistory
    heights: Heights
    events: EventLog
    tally: Tally
    latencies: Latencies
    loop_lag: LoopLag
    alerts: AlertWatch
    notices: Notices
    metrics: Metrics
    contributions: Contributions
    commands: Commands
    snapshots: Snapshots
    pages: PositionPages
    readiness: ReadinessView
    workers: int
    at_risk_milli: int


def assemble(
    *,
    settings: Settings,
    signer: Signer,
    chain: Chain,
    wire: Wire,
    journal: Journal,
    gate: Gate,
    shipping: Shipping,
    clock: Clock,
    profile: str,
    cluster: str,
    version: str,
    ask_to_end: Callable[[], None],
    forget_standing_stop: Callable[[], None],
    is_dry_run: bool = False,
    make_ids: Callable[[int], list[str]] = new_liquidation_ids,
) -> Parts:
    """Make every part. `wire` is the one gated way out; its owner keeps its connections open."""
    phase, heights = Phase(), Heights()
    events, tally, latencies, history = EventLog(clock), Tally(), Latencies(), HealthHistory()
    loop_lag = LoopLag(clock)
    board = PriceBoard(watched_feeds(settings), clock)
    holdings = Holdings(Book(board.symbols, settings.at_risk_factor_milli), settings.program_id)
    risks = RiskBoard(holdings.book, board, clock)
    fund = FundWatcher(chain, journal, settings.program_id, clock)
    wallet = WalletWatch(chain, signer.address, clock)
    queue = LiquidationQueue(QUEUE_CAPACITY)
    failures = Failures(journal, clock, queue.__contains__)
    fitness = FeedFitness(chain, settings.ws_urls, clock)
    confirmations = Confirmations(settings.ws_urls, clock, is_fit=fitness.is_fit)
    tracker = Tracker(
        chain=chain,
        wire=wire,
        fund=fund.address,
        program_id=settings.program_id,
        clock=clock,
        rebroadcast_ms=settings.rebroadcast_ms,
        is_busy=lambda: queue.waits_to_be_sent,
        hints=confirmations,
    )
    detector = Detector(
        holdings=holdings,
        board=board,
        queue=queue,
        failures=failures,
        tally=tally,
        latencies=latencies,
        events=events,
        clock=clock,
        node_is_current=lambda: ingest.node_is_current(),  # noqa: PLW0108  # it is made further down
        make_ids=make_ids,
    )
    prices = PriceWatch(board=board, detector=detector, events=events, clock=clock)
    hermes = HermesClient(
        url=settings.hermes_url,
        key=settings.hermes_api_key,
        feeds=board.feeds,
        listener=prices,
        clock=clock,
    )
    ingest = Ingest(
        chain=chain,
        program_id=settings.program_id,
        holdings=holdings,
        board=board,
        prices=prices,
        fund=fund,
        wallet=wallet,
        detector=detector,
        tracker=tracker,
        events=events,
        clock=clock,
        renew_feed=lambda reason: feed.renew(reason),  # noqa: PLW0108  # it is made further down
    )
    vigil = None
    if settings.low_latency:
        vigil = Vigil(
            Rehearsal(chain=chain, journal=journal, tracker=tracker, clock=clock).step,
            clock,
            is_busy=lambda: len(executor.hands) > 0 or not journal.is_idle,
            heard_ns=lambda: ingest.updated_at_ns,
        )
    feed = LiveFeeds(
        settings.ws_urls,
        settings.program_id,
        ingest.watched,
        ingest,
        clock,
        steady=board.accounts,
        is_fit=fitness.is_fit,
        believes=fitness.believes,
    )
    accounts = AccountReader(chain)
    blockhashes = BlockhashCache(chain, clock)
    fee_limits = FeeLimits(
        settings.priority_fee_microlamports,
        settings.priority_fee_cap_lamports,
        settings.fee_budget_lamports,
    )
    fees = PriorityFees(chain, [fund.address], fee_limits, clock, settings.compute_unit_limit)
    sentinel = Sentinel(
        chain=chain,
        wallet=None if is_dry_run else signer.address,  # whoever sends with it meanwhile, it is not we
        journal=journal,
        is_ours=lambda signature: contributions.knows(signature),  # noqa: PLW0108  # made further down
        fees=fees,
        clock=clock,
        stop=lambda reason: commands.emergency.trip(reason),  # noqa: PLW0108  # it is made further down
    )
    funds = Funds(wallet, events, clock, settings.wallet_floor_lamports)
    sol_price = SolPrice(board, clock)
    retries = Retries(
        queue=queue,
        failures=failures,
        funds=funds,
        events=events,
        tally=tally,
        clock=clock,
        attempts=settings.retry_attempts,
        base_ms=settings.retry_base_ms,
    )
    limits = ComputeLimits(chain, settings.compute_unit_limit)
    aftermath = Aftermath(
        journal=journal,
        queue=queue,
        retries=retries,
        failures=failures,
        holdings=holdings,
        board=board,
        detector=detector,
        accounts=accounts,
        latencies=latencies,
        tally=tally,
        events=events,
        clock=clock,
        limits=limits,
        on_invariant=lambda what: sentinel.trip(Cause.INVARIANT, what),
    )
    departures = Departures(
        wire=wire,
        journal=journal,
        latencies=latencies,
        clock=clock,
        still_wanted=aftermath.still_wanted,
    )
    executor = Executor(
        queue=queue,
        holdings=holdings,
        board=board,
        accounts=accounts,
        blockhashes=blockhashes,
        fees=fees,
        builder=TransactionBuilder(signer, settings.program_id, board.feed_of(SOL_USD.symbol) or SOL_USD),
        journal=journal,
        gate=gate,
        departures=departures,
        tracker=tracker,
        retries=retries,
        funds=funds,
        sol_price=sol_price,
        clock=clock,
        node_is_current=ingest.node_is_current,
        limits=limits,
        workers=settings.workers,
        on_budget_spent=lambda what: sentinel.trip(Cause.BUDGET, what),
        on_invariant=lambda what: sentinel.trip(Cause.INVARIANT, what),
    )
    notices = Notices(f"{profile} on {cluster}", channels_of(settings), limits_of(settings), clock)
    figures = FigureReader(
        started_at_ns=clock.now_ns(),
        fund_minimum_lamports=settings.insurance_fund_minimum_lamports,
        fee_budget_lamports=settings.fee_budget_lamports,
        is_ready=lambda: phase.name == "ready",
        gate=gate,
        chain=chain,
        ingest=ingest,
        wallet=wallet,
        shipping=shipping,
        journal=journal,
        risks=risks,
        holdings=holdings,
        board=board,
        hermes=hermes,
        queue=queue,
        tracker=tracker,
        funds=funds,
        sol_price=sol_price,
        fund=fund,
        latencies=latencies,
        loop_lag=loop_lag,
        tally=tally,
        clock=clock,
    )
    alerts = AlertWatch(figures, journal, events, clock, notices)
    contributions = Contributions(
        chain=chain,
        wire=wire,
        signer=signer,
        program_id=settings.program_id,
        journal=journal,
        gate=gate,
        blockhashes=blockhashes,
        fees=fees,
        balance_lamports=lambda: wallet.balance_lamports,
        events=events,
        clock=clock,
        is_dry_run=is_dry_run,
    )
    commands = Commands(
        contributions=contributions,
        gate=gate,
        journal=journal,
        queue=queue,
        failures=failures,
        detector=detector,
        tracker=tracker,
        holdings=holdings,
        board=board,
        ingest=ingest,
        fund=fund,
        wallet=wallet,
        sentinel=sentinel,
        alerts=alerts,
        events=events,
        clock=clock,
        is_reconciled=lambda: phase.is_reconciled,
        ask_to_end=ask_to_end,
        forget_standing_stop=forget_standing_stop,
    )
    positions = PositionViews(
        holdings=holdings,
        board=board,
        queue=queue,
        failures=failures,
        journal=journal,
        history=history,
        at_risk_milli=settings.at_risk_factor_milli,
    )
    risk_views = RiskViews(risks, board, fund)
    snapshots = Snapshots(
        identity=Identity(
            version=version,
            pid=os.getpid(),
            profile=profile,
            cluster=cluster,
            started_at_ns=clock.now_ns(),
            wallet_source=signer.source,
            fund_minimum_lamports=settings.insurance_fund_minimum_lamports,
            is_dry_run=is_dry_run,
            fee_budget_lamports=settings.fee_budget_lamports,
        ),
        phase=lambda: phase.name,
        gate=gate,
        chain=ChainViews(chain, ingest, lambda: heights.current),
        wallet=wallet,
        shipping=shipping,
        journal=journal,
        positions=positions,
        risks=risk_views,
        holdings=holdings,
        board=board,
        oracle=OracleViews(board, hermes, clock),
        queue=queue,
        failures=failures,
        tracker=tracker,
        funds=funds,
        sol_price=sol_price,
        fund=fund,
        latencies=latencies,
        loop_lag=loop_lag,
        tally=tally,
        alerts=AlertViews(alerts),
        events=events,
        clock=clock,
    )
    return Parts(
        risks=risks,
        clock=clock,
        phase=phase,
        chain=chain,
        nodes=NodeWatch(chain, events, clock),
        gate=gate,
        journal=journal,
        holdings=holdings,
        board=board,
        prices=prices,
        hermes=hermes,
        fund=fund,
        funds=funds,
        wallet=wallet,
        queue=queue,
        failures=failures,
        tracker=tracker,
        detector=detector,
        executor=executor,
        aftermath=aftermath,
        sentinel=sentinel,
        ingest=ingest,
        vigil=vigil,
        feed=feed,
        blockhashes=blockhashes,
        confirmations=confirmations,
        fees=fees,
        history=history,
        heights=heights,
        events=events,
        tally=tally,
        latencies=latencies,
        loop_lag=loop_lag,
        alerts=alerts,
        notices=notices,
        metrics=Metrics(alerts, notices.counts, version=version, is_dry_run=is_dry_run),
        contributions=contributions,
        commands=commands,
        snapshots=snapshots,
        pages=PositionPages(holdings, board, positions, risk_views, clock),
        readiness=ReadinessView(
            phase=lambda: phase.name,
            gate=gate,
            ingest=ingest,
            board=board,
            shipping=shipping,
            journal=journal,
            funds=funds,
        ),
        workers=settings.workers,
        at_risk_milli=settings.at_risk_factor_milli,
    )
