"""The real processes of one test: a sandbox, an engine on it, and what can be asked of both."""

from __future__ import annotations

import asyncio
import json
import os
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
from engine.verify import VerifyReport, verify

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

    async def start_sandbox(self, *arguments: str) -> asyncio.subprocess.Process:
        """A crash of 150 positions, with whatever else is asked for."""
        sandbox = await self.start(
            "sandbox", "--positions", "150", "--scenario", "crash", "--slot-ms", str(SLOT_MS),
            "--rpc-port", "0", "--ws-port", "0", "--exit-with-parent", *arguments,
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
            "HERMES_URL": self.where["hermes_url"],
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

    async def report(self) -> VerifyReport:
        """What chain and database say of the engine's wallet."""
        return await verify(
            [self.where["rpc_url"]],
            self.where["database_url"],
            self.wallet,
            Pubkey.from_string(self.where["program_id"]),
        )

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
