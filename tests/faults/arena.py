"""The real processes of one test: a sandbox whose market never rests, an engine on it, and how both stand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from waiting import until

from engine.api import wire
from engine.api.client import EngineClient
from engine.errors import EngineNotRunning
from engine.paths import ProfilePaths

T = TypeVar("T")

SLOT_MS = 50
BLOCKHASH_BLOCKS = 150
START_S = 90.0
ANSWER_S = 10.0
# Falling prices, high leverage and newcomers: some ten liquidations a second for many minutes.
MARKET = (
    *("--scenario", "trend", "--trend", "down", "--positions", "80", "--seed", "7"),
    *("--slot-ms", str(SLOT_MS), "--behaviour", "openings_per_minute=80"),
    *("--population", 'leverage=[{"lowest":40,"highest":300,"weight":1}]'),
    *("--population", "long_share=0.8"),
)


class Engine:
    """One engine process and what it has written."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, begin: int) -> None:
        self.process = process
        self._log = log
        self._begin = begin

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.returncode is None

    @property
    def said(self) -> str:
        """What this process wrote to stderr so far."""
        return self._log.read_bytes()[self._begin :].decode(errors="replace")

    async def ended(self, seconds: float = 60.0) -> int:
        """The exit code, once it has ended by itself."""
        try:
            return await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            raise AssertionError(f"the engine has not ended in {seconds:g} s: {self.said[-1000:]}") from None

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self.process.wait()


class Arena:
    """Use through the fixture `arena`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.where: dict[str, Any] = {}
        self.settings = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SOLANA_")},
            "XDG_STATE_HOME": str(self.state),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "SERVER_PORT": "0",
        }
        self.engine: Engine | None = None
        self._processes: list[asyncio.subprocess.Process] = []

    @property
    def paths(self) -> ProfilePaths:
        """Where the engine keeps its state and its socket."""
        folder = "liquidation-engine"
        return ProfilePaths(
            "default", self.state / folder / "default", self.home / "run" / folder / "default"
        )

    @property
    def books(self) -> list[Path]:
        """The folders that hold a journal, one for each cluster and wallet."""
        return sorted(folder for folder in (self.paths.state.parent / ".books").glob("*") if folder.is_dir())

    @property
    def wallet(self) -> Pubkey:
        """The engine's address."""
        return Keypair.from_bytes(bytes(json.loads(Path(self.where["wallet_path"]).read_text()))).pubkey()

    async def start_sandbox(self, *arguments: str, rpc_port: int = 0, ws_port: int = 0) -> None:
        """Start a sandbox whose prices stand still until `let_prices_go`."""
        flags = ("--rpc-port", str(rpc_port), "--ws-port", str(ws_port), "--exit-with-parent")
        process = await self._spawn("sandbox", ("sandbox", *MARKET, *flags, *arguments), self.settings)
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        assert line, (self.home / "sandbox.log").read_text()[-2000:]
        self.sandbox, self.where = process, json.loads(line)
        self.settings |= {
            "SOLANA_RPC_URL": ",".join(self.where["rpc_urls"]),
            "SOLANA_WS_URL": ",".join(self.where["ws_urls"]),
            "DATABASE_URL": self.where["database_url"],
            "WALLET_PATH": self.where["wallet_path"],
            "PROGRAM_ID": self.where["program_id"],
            "HERMES_URL": self.where["hermes_url"],
        }
        await self.rpc("sandboxHoldPrices", True)

    async def start_engine(self, **settings: str) -> Engine:
        """Start an engine and return at once."""
        log = self.home / "engine.log"
        begin = log.stat().st_size if log.exists() else 0
        process = await self._spawn("engine", ("--no-ui",), {**self.settings, **settings})
        self.engine = Engine(process, log, begin)
        return self.engine

    async def begin(self, *arguments: str, **settings: str) -> Engine:
        """A sandbox, an engine that is ready, and a market that keeps it busy."""
        await self.start_sandbox(*arguments)
        engine = await self.start_engine(**settings)
        await self.ready()
        await self.let_prices_go()
        await self.liquidates(5)
        return engine

    async def run(self, *arguments: str, seconds: float = 60.0, **settings: str) -> tuple[int, str, str]:
        """Run the command to its end: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine", *arguments),
            env={**self.settings, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        out, err = await asyncio.wait_for(process.communicate(), seconds)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def _spawn(
        self, name: str, arguments: Sequence[str], environment: dict[str, str]
    ) -> asyncio.subprocess.Process:
        with (self.home / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "engine", *arguments),
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    async def end(self) -> None:
        """Kill whatever still runs; a frozen process dies as well."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    # --- what stands how ---

    async def rpc(self, method: str, *parameters: object, url: str | None = None) -> Any:
        """The result of a call to the first node, or another; the test's own calls are never interfered with
        for longer than a moment."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url or self.where["rpc_url"], json=body) as response,
        ):
            answer = await response.json()
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    async def trouble(self, settings: dict[str, Any] | None, node: int = 0) -> None:
        """Order trouble of a node and of the cluster, or with None its end."""
        await self.rpc("sandboxTrouble", settings, url=self.where["rpc_urls"][node])

    async def counters(self) -> dict[str, int]:
        """What the sandbox did so far to its first node's calls and to the cluster; changes nothing."""
        return dict((await self.rpc("sandboxTrouble"))["counters"])

    async def let_prices_go(self) -> None:
        """Prices fall on."""
        await self.rpc("sandboxHoldPrices", False)

    async def snapshot(self) -> wire.Snapshot | None:
        """How the engine stands, None while it does not answer."""
        async with EngineClient(self.paths.socket) as client:
            try:
                return await client.snapshot()
            except EngineNotRunning:
                return None

    async def until(
        self, what: str, condition: Callable[[wire.Snapshot], T], seconds: float = 60.0
    ) -> wire.Snapshot:
        """Wait for something in the engine's snapshot; fails at once when the engine has ended."""
        last: list[wire.Snapshot] = []

        async def holds() -> wire.Snapshot | None:
            self._check_engine(what)
            snapshot = await self.snapshot()
            if snapshot is None:
                return None
            last[:] = [snapshot]
            return snapshot if condition(snapshot) else None

        def tell() -> str:
            return _standing(last[0]) if last else "the engine never answered"

        found = await until(what, holds, seconds, tell)
        assert found is not None
        return found

    def _check_engine(self, what: str) -> None:
        """Fail when the engine has ended; one that somebody else started is not ours to look after."""
        engine = self.engine
        if engine is not None and not engine.is_alive:
            code = engine.process.returncode
            raise AssertionError(f"{what}: the engine ended, code {code}: {engine.said[-1500:]}")

    async def ready(self) -> wire.Snapshot:
        """The engine has loaded, reconciled, and decides."""
        return await self.until("the engine is ready", lambda seen: seen.engine.phase == "ready", START_S)

    async def liquidates(self, more: int = 5, seconds: float = 90.0) -> wire.Snapshot:
        """So many further liquidations are final and recorded by the engine."""
        before: list[int] = []

        def gone_on(seen: wire.Snapshot) -> bool:
            done = seen.totals.full + seen.totals.partial
            if not before:
                before.append(done)
            return done >= before[0] + more

        return await self.until(f"{more} further liquidations", gone_on, seconds)

    async def comes_to_rest(self, seconds: float = 120.0) -> wire.Snapshot:
        """Prices stand still, trouble is over, and the engine has finished and shipped everything."""
        await self.rpc("sandboxHoldPrices", True)
        for node in range(len(self.where["rpc_urls"])):
            await self.trouble(None, node)
        return await self.until(
            "the engine comes to rest",
            lambda seen: (
                seen.engine.phase == "ready"
                and not seen.queue_length
                and not seen.in_flight
                and not seen.database.backlog
                and seen.book.liquidatable <= seen.failed_length
            ),
            seconds,
        )

    async def height(self) -> int:
        """The cluster's confirmed block height, as the first node tells it."""
        return int(await self.rpc("getBlockHeight", {"commitment": "confirmed"}))

    async def outlive_blockhashes(self) -> None:
        """Return when whatever was signed before has expired."""
        end = await self.height() + BLOCKHASH_BLOCKS + 2

        async def is_over() -> bool:
            return await self.height() > end

        await until("blockhashes expire", is_over, 120.0)

    async def freeze(self, process: asyncio.subprocess.Process) -> None:
        """SIGSTOP, and return when it is in force."""
        process.send_signal(signal.SIGSTOP)

        async def stands() -> bool:
            return _state_of(process.pid) == "T"

        await until("the process is frozen", stands, 10.0)

    def thaw(self, process: asyncio.subprocess.Process) -> None:
        """SIGCONT."""
        process.send_signal(signal.SIGCONT)


def _state_of(pid: int) -> str:
    """The kernel's letter for what a process does; T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _standing(seen: wire.Snapshot) -> str:
    """A snapshot in a few words, for the message of a wait that failed."""
    totals = seen.totals
    return (
        f"phase {seen.engine.phase}, {seen.gate.state}, queue {seen.queue_length}, "
        f"in flight {seen.in_flight}, failed {seen.failed_length}, liquidatable {seen.book.liquidatable}, "
        f"unknown {seen.book.unknown}, database {seen.database.state} with {seen.database.backlog} to ship "
        f"{seen.database.message!r}, done {totals.full}+{totals.partial}, degraded {seen.engine.degraded}, "
        f"age {time.time() - seen.taken_at_ns / 1e9:.1f} s"
    )
