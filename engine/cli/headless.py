"""`--no-ui`: the engine in this process, for a service manager, or on a private sandbox for a measured run.

SIGTERM and SIGINT let it finish what is in flight; a second one cuts that short. SIGHUP reads the settings
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog
import uvloop

from engine import __version__
from engine.api.launcher import SandboxDescriptor, engine_environment, start_private_sandbox
from engine.cli.failures import EXIT_REFUSED
from engine.cli.leaving import leave_in_time
from engine.cli.options import SandboxFlags
from engine.cli.reload import Reloader
from engine.cli.service_manager import notify, stay_in_touch
from engine.dry_run import dry_run_signer
from engine.errors import OperatorError
from engine.paths import ProfilePaths
from engine.setting_sources import Given, Source
from engine.settings import Settings
from engine.telemetry.logs import configure_logging
from engine.wallet import Signer, open_signer

if TYPE_CHECKING:
    from engine.runtime import RunningEngine

END_S = 40.0  # after what has bounds of its own in an engine that is cancelled
SANDBOX_END_S = 20.0
SANDBOX_ANSWER_S = 10.0
DRAIN_S = 60.0

_STAND_IN = {
    **dict.fromkeys(("SOLANA_WS_URL", "DATABASE_URL", "WALLET_PATH", "PROGRAM_ID", "HERMES_URL"), ""),
    "SOLANA_RPC_URL": "http://sandbox",
    "SOLANA_GENESIS_HASH": "",
}

log = structlog.get_logger()


class SandboxEnded(OperatorError):
    """The private sandbox is gone while its engine still needed it."""

    exit_code = 1


def run(
    paths: ProfilePaths,
    flags: SandboxFlags | None,
    given: Given,
    *,
    duration_s: float | None,
    with_summary: bool,
    read: Callable[[], Given] | None = None,
) -> None:
    """Run an engine until a signal or the end of `duration_s`; on a private sandbox when `flags` are given.

    `given` are the settings of all sources, which `read` gathers again at each SIGHUP; a sandbox's own are
    put over them. Raises OperatorError. A summary that shows something wrong ends the process with exit
    code 1.
    """
    headless = _Headless(paths, duration_s, with_summary)
    read = read or (lambda: given)
    if flags is None:
        settings = given.settings()
        _log_as(settings)
        cluster = headless.on_cluster(settings, _signer(settings, paths), lambda: read().settings())
        _run(settings.event_loop, cluster)
    else:
        # Every other setting is checked before anything starts; the sandbox's own are not known yet.
        settings = given.under(_STAND_IN, Source.SANDBOX).settings()
        _log_as(settings)
        _run(settings.event_loop, headless.on_private_sandbox(flags, read))
    if headless.found_wrong:
        sys.exit(EXIT_REFUSED)


def _log_as(settings: Settings) -> None:
    configure_logging(settings.log_level, as_json=settings.log_format == "json")


def _run(event_loop: str, work: Coroutine[Any, Any, None]) -> None:
    """To its end, on the event loop of the settings."""
    new_loop = uvloop.new_event_loop if event_loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            runner.run(work)
        finally:
            leave_in_time()  # what the loop asked threads for is waited for now


class _Headless:
    """One foreground run: the signals that end it, the engine's task, and the summary of how it went."""

    def __init__(self, paths: ProfilePaths, duration_s: float | None, with_summary: bool) -> None:
        self._paths = paths
        self._duration_s = duration_s
        self._with_summary = with_summary
        self._until = asyncio.Event()
        self._asked_to_end = asyncio.Event()
        self.found_wrong = False

    async def on_private_sandbox(self, flags: SandboxFlags, read: Callable[[], Given]) -> None:
        """Run the engine on a cluster of our own, which ends with us."""
        self._paths.prepare()
        descriptor, process = await start_private_sandbox(
            flags.arguments(), log=self._paths.state / "sandbox.log"
        )
        try:
            of_sandbox = engine_environment(descriptor)

            def reread() -> Settings:
                return read().under(of_sandbox, Source.SANDBOX).settings()

            settings = reread()
            signer = _signer(settings, self._paths)
            await self.on_cluster(settings, signer, reread, descriptor, process)
            if not self.found_wrong:
                self._forget(str(signer.address), str(settings.program_id))
        finally:
            await _end_sandbox(process)

    def _forget(self, wallet: str, program_id: str) -> None:
        """Remove the journal of a run that ended well: its cluster and its wallet do not exist any more."""
        pattern = self._paths.book_of("*", wallet, program_id)
        for book in pattern.parent.glob(pattern.name):
            shutil.rmtree(book, ignore_errors=True)

    async def on_cluster(
        self,
        settings: Settings,
        signer: Signer,
        reread: Callable[[], Settings],
        sandbox: SandboxDescriptor | None = None,
        process: Process | None = None,
    ) -> None:
        """Run the engine until it is time to end; raises SandboxEnded when its private cluster goes first."""
        from engine.runtime import run_engine

        log.info("Starting Liquidation Engine Service...", version=__version__)
        loop = asyncio.get_running_loop()
        reloader = Reloader(settings, reread, lambda: ready.result().parts.notices)
        self._listen_to_signals(reloader)
        ready: asyncio.Future[RunningEngine] = loop.create_future()
        engine = loop.create_task(
            run_engine(settings, self._paths, signer, until=self._until, on_ready=ready.set_result)
        )
        asked = loop.create_task(self._asked_to_end.wait())
        gone = loop.create_task(_ended(process))
        beside = [loop.create_task(stay_in_touch(lambda: _standing(ready)))]
        try:
            either: set[asyncio.Future[Any]] = {engine, ready, asked, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                notify("READY=1")
                beside.append(loop.create_task(reloader.run()))
                log.info("running", event_loop=settings.event_loop)
                await asyncio.wait(
                    {engine, asked, gone}, timeout=self._duration_s, return_when=asyncio.FIRST_COMPLETED
                )
                if self._with_summary and not engine.done() and not gone.done():
                    await self._print_summary(ready.result(), settings, sandbox)
            notify("STOPPING=1")
            self._until.set()
            if gone.done():  # nothing in flight can be followed any more
                raise SandboxEnded(f"The sandbox ended too early: see {self._paths.state / 'sandbox.log'}")
            await engine
        finally:
            await _ended_in_time({asked, gone, engine, *beside})

    async def _print_summary(
        self, engine: RunningEngine, settings: Settings, sandbox: SandboxDescriptor | None
    ) -> None:
        """Let the engine finish everything, compare chain and database, and print one JSON object."""
        from engine.cli.verification import compare
        from engine.summary import summarize

        opened = None
        if sandbox is not None:
            # Prices that go on moving would bring new work for ever.
            await _ask_sandbox(sandbox, "sandboxHoldPrices", True)
            opened = int((await _ask_sandbox(sandbox, "sandboxMarket"))["positions_opened"])
        drained = await engine.drain(DRAIN_S)
        if sandbox is not None:
            # What happened is read from a node that works, whatever trouble the run was to have.
            await _ask_sandbox(sandbox, "sandboxTrouble", None)
        summary = summarize(
            engine.snapshot(),
            await compare(settings, self._paths, engine.parts.wallet.address),
            liquidatable_seen=engine.parts.tally.liquidatable_seen,
            opened=opened,
            drained=drained,
        )
        print(json.dumps(summary), flush=True)
        self.found_wrong = not drained or any(summary["violations"].values())

    def _listen_to_signals(self, reloader: Reloader) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end_asked)

    def _end_asked(self) -> None:
        if self._asked_to_end.is_set():
            raise KeyboardInterrupt
        log.info("asked to end, finishing what is in flight")
        self._asked_to_end.set()


def _standing(ready: asyncio.Future[RunningEngine]) -> str:
    """The engine in one line, for `systemctl status`."""
    if not ready.done():
        return "starting"
    parts = ready.result().parts
    positions = f"{len(parts.holdings.book)} positions"
    return f"{parts.phase.name}, {parts.gate.state.state}, {positions}"


def _signer(settings: Settings, paths: ProfilePaths) -> Signer:
    if paths.is_dry_run:
        return dry_run_signer(settings.wallet_path, paths.profile)
    return open_signer(settings.wallet_path, paths.profile, source=settings.wallet_source)


async def _ended(process: Process | None) -> None:
    """Return when the process has ended; with none, never."""
    if process is None:
        await asyncio.Event().wait()
    else:
        await process.wait()


async def _ended_in_time(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until they are done, for END_S at most.

    What is left is cancelled again with all that it waits for, when the event loop is closed.
    """
    for task in tasks:
        task.cancel()
    done, left = await asyncio.wait(tasks, timeout=END_S)
    await asyncio.gather(*done, return_exceptions=True)  # how they ended was told by whoever waited for them
    if left:
        log.error("the engine does not end, everything in it is cancelled once more")


async def _ask_sandbox(sandbox: SandboxDescriptor, method: str, *parameters: object) -> Any:
    """The result of one of the sandbox's own RPC methods; raises SandboxEnded when it does not answer."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    deadline = aiohttp.ClientTimeout(total=SANDBOX_ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=deadline) as session,
            session.post(sandbox.rpc_url, json=request) as response,
        ):
            return (await response.json())["result"]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        raise SandboxEnded(
            f"The sandbox does not answer {method} ({type(error).__name__}): see its log"
        ) from error


async def _end_sandbox(process: Process) -> None:
    """End it by closing its stdin; kill it when it does not end in time."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), SANDBOX_END_S)
    except TimeoutError:
        log.warning("the sandbox does not end, killing it", pid=process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
