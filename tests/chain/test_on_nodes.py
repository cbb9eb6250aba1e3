"""The pool on three real nodes of one cluster, of which one gets into trouble and out of it again."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import transfer
from solders.transaction import VersionedTransaction

from engine.chain.confirmations import Confirmations
from engine.chain.pool import PoolLimits, RpcPool
from engine.chain.port import Level
from engine.chain.sender import Sender
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState
from engine.errors import WrongCluster

ADDRESS = Pubkey.new_unique()
TROUBLES: list[tuple[dict[str, Any], set[str]]] = [
    ({"http": {"black_hole_share": 1}}, {"failing"}),
    ({"http": {"error_share": 1, "error_status": 502}}, {"failing"}),
    ({"http": {"drop_share": 1}}, {"failing"}),
    ({"http": {"rate_limit_share": 1, "retry_after_s": 2}}, {"resting"}),
    ({"http": {"calls_per_s": 1, "retry_after_s": 1}}, {"resting"}),
    ({"node": {"stands_still": True}}, {"behind"}),
    ({"node": {"lag_slots": 30}}, {"behind"}),
]


class Nodes:
    """The sandbox's nodes and a pool on them."""

    def __init__(self, where: dict[str, Any], http: aiohttp.ClientSession, pool: RpcPool) -> None:
        self.where, self._http, self.pool = where, http, pool
        self.urls: list[str] = where["rpc_urls"]

    @property
    def wallet(self) -> Keypair:
        return Keypair.from_bytes(bytes(json.loads(Path(self.where["wallet_path"]).read_text())))

    async def trouble(self, number: int, settings: dict[str, Any] | None) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "sandboxTrouble", "params": [settings]}
        async with self._http.post(self.urls[number], json=body) as response:
            assert "error" not in await response.json()

    def state(self, number: int) -> str:
        return self.pool.endpoints()[number].state

    async def reads(self) -> float:
        """One of every kind of read that liquidations wait for; how long the slowest took."""
        slowest_s = 0.0
        for read in (
            lambda: self.pool.accounts([ADDRESS]),
            self.pool.latest_blockhash,
            lambda: self.pool.statuses([Signature.default()], search_history=False),
            lambda: self.pool.block_height(Level.FINALIZED),
        ):
            begun = time.monotonic()
            await read()
            slowest_s = max(slowest_s, time.monotonic() - begun)
        return slowest_s


@asynccontextmanager
async def sandbox(home: Path, nodes: int) -> AsyncIterator[dict[str, Any]]:
    """A sandbox process; what its first line says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine", "sandbox", "--nodes", str(nodes), "--positions", "10",
        "--slot-ms", "100", "--rpc-port", "0", "--ws-port", "0", "--exit-with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "XDG_STATE_HOME": str(home), "XDG_RUNTIME_DIR": str(home)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(40):
            where = json.loads(await process.stdout.readline())
        yield where
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    async with (
        sandbox(tmp_path, 3) as where,
        aiohttp.ClientSession() as http,
        RpcPool(where["rpc_urls"], PoolLimits([500] * 3), SystemClock()) as pool,
    ):
        await pool.genesis_hash()
        yield Nodes(where, http, pool)


async def test_every_trouble_of_the_first_node_is_lived_through_within_a_second_and_ends_with_it(nodes):
    for trouble, states in TROUBLES:
        await nodes.trouble(0, trouble)
        async with asyncio.timeout(10):
            while nodes.state(0) not in states:
                assert await nodes.reads() < 1, trouble
        assert await nodes.reads() < 0.5, trouble
        assert nodes.pool.is_current()
        assert [nodes.state(1), nodes.state(2)] == ["ok", "ok"], (trouble, nodes.pool.endpoints())
        await nodes.trouble(0, None)
        async with asyncio.timeout(10):
            while nodes.state(0) != "ok":
                await nodes.reads()


async def test_a_node_of_another_cluster_is_left_out_and_alone_it_is_refused(nodes, tmp_path):
    async with sandbox(tmp_path / "other", 1) as other:
        genesis = await nodes.pool.genesis_hash()
        mixed = [*nodes.urls[:1], *other["rpc_urls"]]
        async with RpcPool(mixed, PoolLimits([500] * 2), SystemClock()) as pool:
            assert await pool.genesis_hash() == genesis
            assert [report.state for report in pool.endpoints()] == ["ok", "foreign"]
        limits = PoolLimits([500], genesis_hash=genesis)
        async with RpcPool(other["rpc_urls"], limits, SystemClock()) as pool:
            with pytest.raises(WrongCluster, match=r"127\.0\.0\.1:"):
                await pool.genesis_hash()


async def test_bytes_sent_to_all_nodes_land_once_and_a_node_tells_of_it_before_it_is_asked(nodes, tmp_path):
    wallet = nodes.wallet
    first = GateState(1, RUNNING, "engine", 0, "first start")
    gate = Gate.load(tmp_path / "gate.json", SystemClock(), first_start=first, has_history=False)
    heard: list[Signature] = []
    confirmations = Confirmations(nodes.where["ws_urls"], SystemClock(), is_fit=bool)
    confirmations.listen(heard.append)
    listening = asyncio.create_task(confirmations.run())
    # Of three nodes one swallows what it is sent, and one answers with errors.
    await nodes.trouble(0, {"http": {"black_hole_share": 1}})
    await nodes.trouble(1, {"http": {"error_share": 1, "error_status": 502}})
    async with Sender(lambda: nodes.pool.nodes, gate, SystemClock(), 5.0, fan_out=3) as sender:
        blockhash = await nodes.pool.latest_blockhash()
        instruction = transfer({"from_pubkey": wallet.pubkey(), "to_pubkey": ADDRESS, "lamports": 10**7})
        message = MessageV0.try_compile(wallet.pubkey(), [instruction], [], blockhash.value)
        transaction = VersionedTransaction(message, [wallet])
        (signature,) = transaction.signatures
        confirmations.watch(signature)
        for _ in range(3):  # a rebroadcast is the same transaction
            await sender.send(bytes(transaction), lambda at_ns: None)
        async with asyncio.timeout(20):
            while signature not in heard:
                await nodes.reads()
        (status,) = await nodes.pool.statuses([signature], search_history=False)
        assert status is not None
        assert status.level >= Level.CONFIRMED
        assert (await nodes.pool.account(ADDRESS)).lamports == 10**7
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
