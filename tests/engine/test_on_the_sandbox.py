"""The real engine on a real sandbox, as processes: it liquidates, stops, dies, stays stopped, goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.api import wire
from engine.api.client import EngineClient
from engine.errors import EngineNotRunning
from engine.verify import verify

SLOT_MS = 50
START_S = 40.0


class World:
    """The processes of one test, in directories of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = home / "run" / "liquidation-engine" / "default" / "engine.sock"
        self.where: dict[str, str] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SOLANA_")},
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "SERVER_PORT": "0",
        }
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        log = (self.home / f"{arguments[0].strip('-')}.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "engine",
            *arguments,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        log.close()
        self.processes.append(process)
        return process

    async def start_sandbox(self) -> asyncio.subprocess.Process:
        sandbox = await self.start(
            "sandbox", "--positions", "150", "--scenario", "crash", "--slot-ms", str(SLOT_MS),
            "--rpc-port", "0", "--ws-port", "0", "--exit-with-parent",
        )  # fmt: skip
        assert sandbox.stdout is not None
        async with asyncio.timeout(START_S):
            self.where = json.loads(await sandbox.stdout.readline())
        self.environment |= {
            "SOLANA_RPC_URL": self.where["rpc_url"],
            "SOLANA_WS_URL": self.where["ws_url"],
            "DATABASE_URL": self.where["database_url"],
            "WALLET_PATH": self.where["wallet_path"],
            "PROGRAM_ID": self.where["program_id"],
        }
        return sandbox

    @property
    def wallet(self) -> Pubkey:
        secret = json.loads(Path(self.where["wallet_path"]).read_text())
        return Keypair.from_bytes(bytes(secret)).pubkey()

    async def rpc(self, method: str, *parameters: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.where["rpc_url"], json=body) as response,
        ):
            return (await response.json())["result"]

    async def landed(self) -> int:
        """How many transactions of the wallet are in blocks."""
        options = {"commitment": "confirmed", "limit": 1000}
        return len(await self.rpc("getSignaturesForAddress", str(self.wallet), options))

    async def pass_slots(self, count: int) -> None:
        begun = await self.rpc("getSlot")
        await until(lambda: self._is_at(begun + count))

    async def _is_at(self, slot: int) -> bool:
        return await self.rpc("getSlot") >= slot

    async def snapshot(self, client: EngineClient) -> wire.Snapshot | None:
        try:
            return await client.snapshot()
        except EngineNotRunning:
            return None

    async def end(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = START_S) -> Any:
    """Poll until the condition holds; fails after the deadline."""
    async with asyncio.timeout(seconds):
        while True:
            found = await condition()
            if found:
                return found
            await asyncio.sleep(0.02)


async def test_a_real_engine_liquidates_stops_dies_stays_stopped_goes_on_and_kept_every_promise(tmp_path):
    world = World(tmp_path)
    try:
        await _live_through_it(world)
    except BaseException:
        for log in sorted(tmp_path.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-40:], sep="\n")
        raise
    finally:
        await world.end()


async def _live_through_it(world: World) -> None:
    sandbox = await world.start_sandbox()
    engine = await world.start("--no-ui")
    async with EngineClient(world.socket) as client:
        await _liquidates(world, client)
        stopped = await client.stop("the test says so")
        assert (stopped.gate.state, stopped.gate.persisted) == ("stopped", True)
        await _nothing_more_lands(world, client, stopped)
        engine.kill()
        await engine.wait()
        assert sandbox.returncode is None
        engine = await world.start("--no-ui")
        ready = await until(lambda: _ready(world, client))
        assert (ready.gate.state, ready.gate.reason) == ("stopped", "the test says so")
        await _nothing_more_lands(world, client, stopped)
        resumed = await client.resume("the test goes on", ready.gate.version)
        assert resumed.gate.state == "running"
        await _liquidates(world, client)
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), 40) == 0
    assert sandbox.returncode is None
    await _kept_its_promises(world)
    assert sandbox.stdin is not None
    sandbox.stdin.close()
    assert await asyncio.wait_for(sandbox.wait(), 20) == 0


async def _ready(world: World, client: EngineClient) -> wire.Snapshot | None:
    snapshot = await world.snapshot(client)
    return snapshot if snapshot is not None and snapshot.engine.phase == "ready" else None


async def _liquidates(world: World, client: EngineClient) -> None:
    async def has_liquidated() -> bool:
        snapshot = await world.snapshot(client)
        return snapshot is not None and snapshot.totals.full + snapshot.totals.partial > 0

    await until(has_liquidated)


async def _nothing_more_lands(world: World, client: EngineClient, stopped: wire.Acknowledged) -> None:
    """What was out at the stop has landed a few slots later; from then on the count must stand still."""
    await world.pass_slots(10)
    before = await world.landed()
    assert before > 0

    async def market_goes_on() -> bool:
        snapshot = await client.snapshot()
        assert snapshot.gate.version == stopped.gate.version
        return snapshot.book.liquidatable > 0

    await until(market_goes_on)
    await world.pass_slots(40)
    assert await world.landed() == before


async def _kept_its_promises(world: World) -> None:
    report = await verify(
        world.where["rpc_url"],
        world.where["database_url"],
        world.wallet,
        Pubkey.from_string(world.where["program_id"]),
    )
    assert report.findings == []
    assert report.chain.liquidation_transactions_landed > 0
    assert report.chain.liquidation_transactions_landed == report.database.liquidations
    assert report.database.open_intents == 0
    violations = report.violations
    assert (
        violations.healthy_submitted,
        violations.submitted_twice,
        violations.landed_not_recorded,
        violations.recorded_not_landed,
    ) == (0, 0, 0, 0)
