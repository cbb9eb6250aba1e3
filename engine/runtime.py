"""Puts one engine together from its parts, runs it, and takes it down again in order.

Order of the start: the node, the lock, the database (only the very first start cannot do without it), the
journal and the gate; then the listeners, so that a stop works while everything else still loads; then the
feed and the snapshot; then the open intents; and only then the first decision.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from engine import __version__
from engine.api.access import Access
from engine.api.history_view import HistoryViews
from engine.api.news import NewsDesk
from engine.api.pace import Courtesy
from engine.api.server import ApiServer
from engine.api.settings_view import settings_page
from engine.api.stop_token import StopToken
from engine.api.tokens import TokenFile
from engine.chain.clusters import cluster_name, wants_an_operator
from engine.chain.pool import PoolLimits, RpcPool
from engine.chain.port import Chain, RpcFailure
from engine.chain.subscriptions import try_websocket
from engine.clock import Clock, SystemClock
from engine.control import RUNNING, STOPPED, Gate, GateState, read_standing_stop
from engine.dry_run import in_own_schema
from engine.errors import JournalCorrupt, RpcUnreachable, SettingsError
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.journal.prompt_writer import PromptWriter
from engine.journal.records import ControlRecord
from engine.lock import exclusive
from engine.memory import leave_alone, settle_beside
from engine.own_loop import OtherLoop, OwnLoop
from engine.parts import Parts
from engine.paths import ProfilePaths
from engine.settings import Settings
from engine.stopping.sentinel import Cause
from engine.stopping.stop_watch import StopWatch
from engine.store.last_day import LastDay
from engine.store.opening import opened
from engine.store.outbox import OutboxShipper
from engine.store.positions import PositionSampler
from engine.store.record_reader import RecordReader
from engine.store.retention import Retention
from engine.telemetry.redaction import without_credentials
from engine.tending import cancelled, tended
from engine.transport import open_transport
from engine.wallet.signer import Signer
from engine.watch import Housekeeping, reconcile

log = structlog.get_logger("engine")

FINISH_S = 20.0  # at the end: for what is in flight to become final
SHIP_S = 5.0  # and for the database to receive it
SWITCH_INTERVAL_S = 0.0005
ANSWER_S = 8.0  # for what a listener asks of the engine's own loop


class RunningEngine:
    """An engine that is ready, for the process that hosts it."""

    def __init__(self, parts: Parts, shipper: OutboxShipper) -> None:
        self.parts = parts
        self.shipper = shipper
        self.snapshot = parts.snapshots.take

    async def drain(self, deadline_s: float) -> bool:
        """Wait until nothing is liquidatable, in flight, or unshipped; False when that took too long.

        When it is so, detection ends with it: the figures taken next are those of the end.
        """
        clock = self.parts.clock
        end_ns = clock.monotonic_ns() + int(deadline_s * 1e9)
        while clock.monotonic_ns() < end_ns:
            if self._is_drained():
                self.parts.detector.enabled = False
                return True
            await clock.sleep(0.05)
        return False

    def _is_drained(self) -> bool:
        parts = self.parts
        idle = not len(parts.queue) and not len(parts.tracker) and not self.shipper.backlog
        return idle and not parts.detector.liquidatable()


async def run_engine(
    settings: Settings,
    paths: ProfilePaths,
    signer: Signer,
    *,
    until: asyncio.Event | None = None,
    on_ready: Callable[[RunningEngine], None] | None = None,
    clock: Clock | None = None,
) -> None:
    """Run until `until` is set (a shutdown command sets it too), then finish what is in flight.

    Raises OperatorError when it cannot start.
    """
    ending = until or asyncio.Event()
    clock = clock or SystemClock()
    paths.prepare()
    leave_alone()  # while nothing waits yet: once the book is full, the loop must not be held up for it
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(RpcPool(settings.rpc_urls, _limits(settings), clock))
        genesis = await _meet(pool, settings)
        home = paths.book_of(genesis, str(signer.address), str(settings.program_id))
        stack.enter_context(exclusive(home))
        kept = home / "journal.db"
        # A journal is made only where a database was ready: where there is one, history may come later.
        database, schema = await stack.enter_async_context(
            opened(_database_dsn(settings, paths), paths.state / "postgres", may_be_away=kept.exists())
        )
        identity = f"{genesis}/{signer.address}/{settings.program_id}"
        was_kept = kept.exists()
        journal = _open_journal(kept, identity, clock)
        stack.push_async_callback(journal.close)
        waits = not paths.is_dry_run and any(wants_an_operator(genesis, url) for url in settings.rpc_urls)
        gate = _load_gate(home, paths.standing_stop, journal, clock, waits=waits, was_kept=was_kept)
        await _record_standing_stop(paths.standing_stop, journal, clock)
        shipper = OutboxShipper(journal, database, clock, schema)
        sampler = PositionSampler(database, identity, clock)
        dry_run_of = signer.address if paths.is_dry_run else None
        chain, wire = await stack.enter_async_context(
            open_transport(settings, pool, gate, clock, dry_run_of=dry_run_of)
        )
        parts = Parts(
            settings=settings,
            signer=signer,
            chain=chain,
            wire=wire,
            journal=journal,
            gate=gate,
            shipping=shipper,
            clock=clock,
            profile=paths.profile,
            cluster=cluster_name(genesis),
            version=__version__,
            ask_to_end=ending.set,
            forget_standing_stop=lambda: _forget_stop(paths),
            is_dry_run=paths.is_dry_run,
        )
        parts.commands.emergency.belong_to(asyncio.get_running_loop())
        history = HistoryViews(RecordReader(database.dsn, identity), kept)
        server = await _listen(parts, paths, settings, history, stack)
        log.info(f"Liquidation Engine monitoring program: {settings.program_id}")
        log.info("listening", socket=str(paths.socket), port=server.port)
        engine = RunningEngine(parts, shipper)
        housekeeping = Housekeeping(parts, sampler, paths.standing_stop)
        last_day = LastDay(database, identity, clock, parts.snapshots.take_last_day)
        retention = Retention(database, clock, settings.history_days)
        lull = parts.lull
        loops = [
            tended(what, run, clock, parts.events)
            for what, run in (
                ("shipping of the record", partial(shipper.run, lull)),
                ("sampling of positions", partial(sampler.run, lull)),
                ("housekeeping", housekeeping.run),
                ("counting of the last day", last_day.run),
                ("tending of the history", retention.run),
            )
        ]
        await _serve(engine, loops, ending, on_ready)


def _database_dsn(settings: Settings, paths: ProfilePaths) -> str | None:
    """A dry run has tables of its own; of the embedded server it has one of its own."""
    dsn = settings.database_dsn
    return dsn if dsn is None or not paths.is_dry_run else in_own_schema(dsn)


async def _listen(
    parts: Parts, paths: ProfilePaths, settings: Settings, history: HistoryViews, stack: AsyncExitStack
) -> ApiServer:
    """Every way to stop, in threads beside the engine's loop: none of them waits for it."""
    emergency = parts.commands.emergency
    stack.enter_context(StopWatch(parts.gate, emergency, paths.standing_stop, paths.stop_acknowledged))
    token = StopToken(paths.stop_token)
    engine = OtherLoop(asyncio.get_running_loop(), ANSWER_S)
    courtesy = Courtesy(lambda: len(parts.executor.hands) > 0)
    server = ApiServer(
        parts.snapshots,
        parts.commands,
        engine=engine,
        access=Access(
            stop_token=token,
            tokens=TokenFile(paths.tokens),
            host=settings.server_host,
            group=settings.admin_group,
        ),
        history=history,
        settings=settings_page(settings),
        pages=parts.pages,
        readiness=parts.readiness,
        metrics=parts.metrics.render,
        news=NewsDesk(engine, parts.snapshots, parts.journal.path, courtesy),
        courtesy=courtesy,
        host=settings.server_host,
        tls=_tls(settings),
        group=settings.admin_group,
        one_commander=settings.one_commander,
    )
    listeners = await stack.enter_async_context(OwnLoop("listeners"))
    await listeners.run(server.start(paths.socket, settings.server_port))
    stack.push_async_callback(lambda: listeners.run(server.close()))
    token.publish()
    stack.callback(token.withdraw)
    return server


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """What the API's port speaks TLS with, None without it; raises SettingsError."""
    if settings.tls_cert_path is None or settings.tls_key_path is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert_path, settings.tls_key_path)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"TLS_CERT_PATH and TLS_KEY_PATH cannot be used ({error}): give a certificate and its key in PEM"
        ) from None
    return context


async def _serve(
    engine: RunningEngine,
    loops: Sequence[Coroutine[Any, Any, None]],
    ending: asyncio.Event,
    on_ready: Callable[[RunningEngine], None] | None,
) -> None:
    """Run every loop; one that breaks and is not tended takes the engine down, to be started anew."""
    parts = engine.parts
    # The journal's thread takes the interpreter back after each statement. At Python's default of 5 ms a busy
    # loop makes a burst of commits wait for tens of milliseconds.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with asyncio.TaskGroup() as background:
        running = [
            background.create_task(loop)
            for loop in (
                *loops,
                *_telling(parts),
                parts.blockhashes.run(),
                parts.confirmations.run(),
                parts.fees.run(),
                parts.sentinel.run(),
                parts.ingest.run(),
                _settle_memory(parts),
                _keep_vigil(parts),
                parts.prices.run(),
                parts.hermes.run(),
                parts.feed.run(),
                _decide(engine, on_ready),
            )
        ]
        try:
            await ending.wait()
            parts.phase.set("draining")
            parts.detector.enabled = False
            await _finish(parts, engine.shipper)
        finally:
            await cancelled(running)
    await parts.commands.settle_audits()
    parts.events.flush()


def _telling(parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """The loops that only tell of the others."""
    telling = (
        ("writing of the log", parts.events.run),
        ("measuring of the loop", parts.loop_lag.run),
        ("watching for alerts", parts.alerts.run),
        ("delivery of alerts", parts.notices.run),
        ("watching of the nodes", parts.nodes.run),
        ("reckoning of the risk", parts.risks.run),
    )
    return [tended(what, run, parts.clock, parts.events) for what, run in telling]


async def _decide(engine: RunningEngine, on_ready: Callable[[RunningEngine], None] | None) -> None:
    """Snapshot, reconcile, and only then decide (design rule 6)."""
    parts = engine.parts
    parts.phase.set("loading")
    await parts.ingest.loaded.wait()
    parts.phase.set("reconciling")
    await reconcile(parts)
    parts.phase.set("ready")
    async with asyncio.TaskGroup() as workers:
        workers.create_task(parts.tracker.run(parts.aftermath))
        workers.create_task(parts.tracker.run_settling(parts.aftermath))
        workers.create_task(parts.fund.run())
        workers.create_task(parts.contributions.run())
        for _ in range(parts.settings.workers + 1):  # one is always free for the most urgent
            workers.create_task(parts.executor.work())
        parts.detector.enabled = True
        parts.detector.look_at_all()
        log.info("ready", positions=len(parts.holdings.book), state=parts.gate.state.state)
        if on_ready is not None:
            on_ready(engine)


async def _keep_vigil(parts: Parts) -> None:
    """Where it is wanted; while the book is loaded there is enough to do."""
    await parts.ingest.loaded.wait()
    if parts.vigil is not None:
        await parts.vigil.run()


async def _settle_memory(parts: Parts) -> None:
    """Once the first snapshot is in the book, before anything is decided on it."""
    await parts.ingest.loaded.wait()
    await settle_beside()


async def _finish(parts: Parts, shipper: OutboxShipper) -> None:
    """What is being signed or sent is followed to its end, within bounds; the next start follows the rest."""
    dropped = 0
    end_ns = parts.clock.monotonic_ns() + int(FINISH_S * 1e9)
    while parts.clock.monotonic_ns() < end_ns:
        dropped += parts.queue.clear()
        # A worker in the middle of its attempt has an entry before the tracker has its transaction.
        if not len(parts.queue) and not len(parts.tracker):
            break
        await parts.clock.sleep(0.05)
    shipped = await shipper.drain(SHIP_S)
    log.info("finished", not_signed=dropped, in_flight=len(parts.tracker), shipped=shipped)


def _limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        requests_per_s=settings.rpc_budgets,
        deadline_s=settings.rpc_timeout_s,
        max_behind_slots=settings.rpc_max_behind_slots,
        genesis_hash=settings.genesis_hash,
    )


async def _meet(chain: Chain, settings: Settings) -> str:
    """The cluster's genesis hash, once a node, a WebSocket and the program have answered."""
    try:
        genesis = await chain.genesis_hash()
        program = await chain.account(settings.program_id)
    except RpcFailure as failure:
        named = ", ".join(without_credentials(url) for url in settings.rpc_urls)
        raise RpcUnreachable(
            f"Solana RPC at {named} cannot be used: {failure}: check SOLANA_RPC_URL"
        ) from failure
    if program.data is None:
        raise SettingsError(
            f"There is no program at {settings.program_id} on this cluster: "
            "check PROGRAM_ID and SOLANA_RPC_URL"
        )
    await _try_websockets(settings.ws_urls)
    return genesis


async def _try_websockets(urls: Sequence[str]) -> None:
    """One that answers is enough; raises RpcUnreachable."""
    tried = await asyncio.gather(*map(try_websocket, urls), return_exceptions=True)
    failures = [each for each in tried if each is not None]
    if len(failures) < len(urls):
        return
    named = ", ".join(without_credentials(url) for url in urls)
    raise RpcUnreachable(
        f"Solana WebSocket at {named} cannot be used: {failures[0]}: check SOLANA_WS_URL"
    ) from failures[0]


def _forget_stop(paths: ProfilePaths) -> None:
    """The order that was left as a file, and the answer to it."""
    paths.stop_acknowledged.unlink(missing_ok=True)
    paths.standing_stop.unlink(missing_ok=True)


async def _record_standing_stop(path: Path, journal: Journal, clock: Clock) -> None:
    """A stop that was ordered while no engine ran belongs into the audit like any other."""
    order = read_standing_stop(path)
    if order is not None:
        detail = f"{order[1]} (ordered while no engine ran)"
        record = ControlRecord(clock.now_ns(), order[0], "emergency-stop", detail, accepted=True)
        try:
            await journal.record_control(record)
        except JournalUnavailable as error:
            log.error("command not in the audit", command=record.command, reason=str(error))


def _open_journal(path: Path, identity: str, clock: Clock) -> Journal:
    """The journal. One that is damaged stops the engine that starts after it was mended, too."""
    try:
        return Journal.open(path, identity, clock.now_ns, make_ahead=PromptWriter)
    except JournalCorrupt as damage:
        stopped = GateState(1, STOPPED, "engine", clock.now_ns(), "the stop state is gone")
        gate = Gate.load(path.with_name("gate.json"), clock, first_start=stopped, has_history=True)
        gate.shut("engine", f"{Cause.JOURNAL.value}: {damage}")
        gate.persist_and_wait(FINISH_S)
        raise


def _load_gate(
    home: Path, standing_stop: Path, journal: Journal, clock: Clock, *, waits: bool, was_kept: bool
) -> Gate:
    """The kept gate. When `waits`, the very first start is stopped until an operator resumes it.

    Where a gate is kept there was a journal: without it, what was sent before is not known.
    """
    is_lost = not was_kept and (home / "gate.json").exists()
    first_start = GateState(
        version=1,
        state=STOPPED if waits else RUNNING,
        by="engine",
        at_ns=clock.now_ns(),
        reason="first start on this cluster: resume when you are ready" if waits else "first start",
    )
    gate = Gate.load(
        home / "gate.json",
        clock,
        first_start=first_start,
        has_history=journal.last_seq > 0,
        standing_stop=standing_stop,
    )
    if is_lost:
        what = "the journal is gone, so what was sent before is not known"
        gate.shut("engine", f"{Cause.JOURNAL.value}: {what}: check the wallet's history, then resume")
        gate.persist_and_wait(FINISH_S)
    return gate
