"""The course of a drill: a private sandbox, an engine on it that sends and rebroadcasts, and taps between.

Every transaction is lost on its way to a block, so that the engine goes on sending the same bytes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.api import wire
from engine.api.client import CommandRefused, EngineClient
from engine.api.launcher import SandboxDescriptor, engine_environment, start_private_sandbox
from engine.drill.tap import Tap
from engine.errors import EngineNotRunning, OperatorError
from engine.paths import ProfilePaths

HERE = Path(__file__).resolve().parents[2]  # where this very copy of the program is
PROGRAM = ("-m", "engine")
READY_S = 90.0
TRAFFIC_S = 60.0
END_S = 30.0
REBROADCAST_MS = 100
_POLL_S = 0.02
_ARRIVAL_POLL_S = 0.001  # a press comes in the middle of what is being sent
_MARKET = ("--seed", "7", "--positions", "300", "--scenario", "crash", "--slot-ms", "100")
_LOST = ("--trouble", "landing.lost_share=1")
_PORTS = ("--rpc-port", "0", "--ws-port", "0")


class DrillFailed(OperatorError):
    """The drill could not be made."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Course:
    """What a drill needs: the engine's environment and profile, a client of it, and the taps before it."""

    environment: Mapping[str, str]
    paths: ProfilePaths
    client: EngineClient
    node: Tap
    others: tuple[Tap, ...]
    process: subprocess.Popen[bytes]

    async def black_out(self) -> None:
        """From now on node and database take everything and answer nothing."""
        for tap in (self.node, *self.others):
            await tap.swallow()

    async def light_up(self) -> None:
        """Node and database are back."""
        for tap in (self.node, *self.others):
            await tap.flow()

    async def until_it_sends(self) -> None:
        """Return when transactions arrive at the node; raises DrillFailed when none do."""
        after_ns, end_ns = time.time_ns(), time.monotonic_ns() + int(TRAFFIC_S * 1e9)
        while self.node.last_ns <= after_ns:
            if time.monotonic_ns() > end_ns:
                raise DrillFailed("The engine of the drill sends nothing: try again on an idle machine")
            await asyncio.sleep(_ARRIVAL_POLL_S)

    async def resume(self, reason: str) -> None:
        """Resume as soon as the engine's checks allow it; raises DrillFailed."""
        end_ns = time.monotonic_ns() + int(TRAFFIC_S * 1e9)
        while True:
            try:
                gate = (await self.client.snapshot()).gate
                if gate.state == "running":
                    return
                await self.client.resume(reason, gate.version)
            except (CommandRefused, EngineNotRunning) as refusal:
                if time.monotonic_ns() > end_ns:
                    raise DrillFailed(f"The engine of the drill does not resume: {refusal}") from refusal
                await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def drill_course(program: Sequence[str] = PROGRAM) -> AsyncIterator[Course]:
    """Start everything, and end everything however the drill ends. Raises OperatorError.

    `program` is what Python runs as the engine.
    """
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="le-drill-")))
        descriptor, sandbox = await start_private_sandbox(
            [*_MARKET, *_LOST, *_PORTS], log=home / "sandbox.log"
        )
        stack.push_async_callback(_end_sandbox, sandbox)
        node = await stack.enter_async_context(Tap(descriptor.rpc_url))
        stream = await stack.enter_async_context(Tap(descriptor.ws_url))
        database = await stack.enter_async_context(Tap(descriptor.database_url))
        environment = _environment(home, descriptor, node, stream, database)
        process = _start_engine(program, environment, home / "engine.log")
        stack.push_async_callback(_end_engine, process)
        runtime = home / "run" / "liquidation-engine" / "default"
        paths = ProfilePaths("default", home / "state" / "liquidation-engine" / "default", runtime)
        client = await stack.enter_async_context(EngineClient(paths.socket))
        await _until_ready(client, process)
        course = Course(environment, paths, client, node, (stream, database), process)
        await course.until_it_sends()
        yield course


def _environment(
    home: Path, descriptor: SandboxDescriptor, node: Tap, stream: Tap, database: Tap
) -> Mapping[str, str]:
    return {
        **os.environ,
        **engine_environment(descriptor),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "SOLANA_RPC_URL": node.url,
        "SOLANA_WS_URL": stream.url,
        "DATABASE_URL": database.url,
        "SERVER_PORT": str(_free_port()),
        "LOG_LEVEL": "warning",
        "REBROADCAST_MS": str(REBROADCAST_MS),
        "RETRY_ATTEMPTS": "20",
        "MAX_JUMP_BPS": "100000",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start_engine(
    program: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        return subprocess.Popen(  # noqa: S603 - this interpreter, a program of ours, no shell
            [sys.executable, "-P", *program, "--no-ui"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**environment, "PYTHONPATH": f"{HERE}{os.pathsep}{environment.get('PYTHONPATH', '')}"},
            start_new_session=True,
        )


async def _until_ready(client: EngineClient, process: subprocess.Popen[bytes]) -> wire.Snapshot:
    end_ns = time.monotonic_ns() + int(READY_S * 1e9)
    while process.poll() is None and time.monotonic_ns() < end_ns:
        try:
            snapshot = await client.snapshot()
        except EngineNotRunning:
            snapshot = None
        if snapshot is not None and snapshot.engine.phase == "ready":
            return snapshot
        await asyncio.sleep(_POLL_S)
    raise DrillFailed("The engine of the drill does not start: try `liquidation-engine --sandbox --no-ui`")


async def _end_engine(process: subprocess.Popen[bytes]) -> None:
    """Killed: what it left open is the sandbox's, which ends as well."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.wait)


async def _end_sandbox(sandbox: asyncio.subprocess.Process) -> None:
    if sandbox.stdin is not None:
        sandbox.stdin.close()
    try:
        await asyncio.wait_for(sandbox.wait(), END_S)
    except TimeoutError:
        sandbox.kill()
        await sandbox.wait()
