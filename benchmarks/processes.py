"""The program's own processes, started the way an operator starts them, each in a home of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from engine.api import wire
from engine.api.client import EngineClient
from engine.api.launcher import SandboxDescriptor, engine_environment, start_private_sandbox
from engine.errors import EngineNotRunning
from engine.paths import ProfilePaths

READY_S = 60.0
_POLL_S = 0.05


class Failed(Exception):
    """A benchmark could not be made; the message says why."""


def cpu_s(pid: int) -> float:
    """The processor time that a running process of ours has used, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def fresh_home(parent: Path | None = None) -> Iterator[dict[str, str]]:
    """An environment whose states and sockets are in a temporary directory, in `parent` if it is given."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        yield {
            **os.environ,
            "XDG_STATE_HOME": f"{folder}/state",
            "XDG_RUNTIME_DIR": f"{folder}/run",
            "SERVER_PORT": "0",
            "LOG_LEVEL": "warning",
        }
        _forget_databases(Path(folder))


def _forget_databases(home: Path) -> None:
    """Root's embedded databases lie outside of their homes, each with a link back to its own."""
    for back in Path("/var/lib/liquidation-engine").glob("data-*.of"):
        if back.readlink().is_relative_to(home):
            shutil.rmtree(back.with_suffix(""), ignore_errors=True)
            back.unlink()


def command(*arguments: str) -> list[str]:
    """`liquidation-engine` with these arguments."""
    return [sys.executable, "-m", "engine", *arguments]


def run_summary(arguments: list[str]) -> dict[str, Any]:
    """The summary of a headless sandbox run; raises Failed when something was wrong in it."""
    with fresh_home() as environment:
        done = subprocess.run(  # noqa: S603 - this program, no shell
            command("--sandbox", "--no-ui", "--summary", *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            env=environment,
            check=False,
        )
    if done.returncode != 0:
        raise Failed(f"exit code {done.returncode}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@asynccontextmanager
async def sandbox(arguments: list[str]) -> AsyncIterator[SandboxDescriptor]:
    """A private sandbox whose prices are held from its first moment on."""
    descriptor, process = await start_private_sandbox(
        [*arguments, "--rpc-port", "0", "--ws-port", "0"], log=Path(os.devnull)
    )
    try:
        await ask(descriptor, "sandboxHoldPrices", True)
        yield descriptor
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


@asynccontextmanager
async def engine(descriptor: SandboxDescriptor, **settings: str) -> AsyncIterator[EngineClient]:
    """A ready engine on a sandbox, in its own process, and a client of it."""
    with fresh_home() as home:
        async with engine_in(home, descriptor, **settings) as (client, _):
            yield client


@asynccontextmanager
async def engine_in(
    home: dict[str, str], descriptor: SandboxDescriptor, **settings: str
) -> AsyncIterator[tuple[EngineClient, subprocess.Popen[bytes]]]:
    """A ready engine on a sandbox, in this home, which another may have left; its client and its process."""
    environment = {**home, **engine_environment(descriptor), "SERVER_PORT": "0", **settings}
    async with engine_with(environment, command("--no-ui")) as running:
        yield running


@asynccontextmanager
async def engine_with(
    environment: dict[str, str], program: Sequence[str]
) -> AsyncIterator[tuple[EngineClient, subprocess.Popen[bytes]]]:
    """A ready engine with this environment, run by this command line; its client and its process."""
    process = _spawn(program, environment)
    folder = Path(environment["XDG_STATE_HOME"])
    paths = ProfilePaths(
        "default",
        folder / "liquidation-engine" / "default",
        Path(environment["XDG_RUNTIME_DIR"]) / "liquidation-engine" / "default",
    )
    try:
        async with EngineClient(paths.socket) as client:
            await _until_ready(client, process)
            yield client, process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _spawn(program: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this program, no shell
        program, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )


async def _until_ready(client: EngineClient, process: subprocess.Popen[bytes]) -> wire.Snapshot:
    async with asyncio.timeout(READY_S):
        while process.poll() is None:
            try:
                snapshot = await client.snapshot()
            except EngineNotRunning:
                snapshot = None
            if snapshot is not None and snapshot.engine.phase == "ready":
                return snapshot
            await asyncio.sleep(_POLL_S)
    raise Failed(f"the engine ended with exit code {process.returncode} before it was ready")


async def ask(descriptor: SandboxDescriptor, method: str, *parameters: object) -> Any:
    """The result of a JSON-RPC method of the sandbox."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.post(descriptor.rpc_url, json=request) as response,
    ):
        return (await response.json())["result"]
