"""Nodes on virtual time: the pool's real readers, with the answers of a script in place of a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from simulated import VirtualClock
from solders.hash import Hash

from engine.chain.endpoint import Endpoint
from engine.chain.jsonrpc import check_reply
from engine.chain.pool import PoolLimits, RpcPool
from engine.chain.port import RpcFailure

GENESIS = str(Hash(bytes(range(32))))
ELSEWHERE = str(Hash(bytes(range(32, 64))))
FIRST_SLOT = 1_000
SLOTS_BEFORE_BLOCKS = 30
FINAL_DEPTH = 31
SLOT_S = 0.4


class ScriptedNode:
    """One node: how far it is, how long it takes, what goes wrong. Stands in for a JsonRpc."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.lag_slots = 0
        self.frozen_at: int | None = None
        self.extra_height = 0
        self.extra_validity = 0
        self.ignores_min_context = False
        self.delay_s = 0.001
        self.failure: RpcFailure | None = None
        self.failing_methods: frozenset[str] | None = None  # None: all of them
        self.genesis = GENESIS
        self.known: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.cancelled: list[str] = []

    @property
    def slot(self) -> int:
        if self.frozen_at is not None:
            return self.frozen_at
        return FIRST_SLOT + int(self.clock.monotonic_ns() / 1e9 / SLOT_S + 1e-9) - self.lag_slots

    def asked_for(self, method: str) -> int:
        return self.asked.count(method)

    async def call(self, method: str, params: Sequence[Any], deadline_s: float) -> bytes:
        """As the real one: an answer that holds a result, or RpcFailure."""
        self.asked.append(method)
        try:
            await self.clock.sleep(min(self.delay_s, deadline_s))
        except asyncio.CancelledError:
            self.cancelled.append(method)
            raise
        if self.delay_s >= deadline_s:
            raise RpcFailure(f"timeout after {deadline_s:.1f} s", is_timeout=True)
        if self.failure is not None and (self.failing_methods is None or method in self.failing_methods):
            raise self.failure
        answer = json.dumps({"jsonrpc": "2.0", "id": 1, **self._answer(method, params)}).encode()
        check_reply(answer, 1)
        return answer

    def _answer(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        config = next((each for each in params if isinstance(each, dict)), {})
        if self.slot < config.get("minContextSlot", 0) and not self.ignores_min_context:
            message = "Minimum context slot has not been reached"
            return {"error": {"code": -32016, "message": message, "data": {"contextSlot": self.slot}}}
        answers: dict[str, Callable[[], Any]] = {
            "getGenesisHash": lambda: self.genesis,
            "getSlot": lambda: self.slot,
            "getEpochInfo": self._epoch_info,
            "getBlockHeight": lambda: self._height(config.get("commitment", "")),
            "getMultipleAccounts": lambda: self._context([None] * len(params[0])),
            "getLatestBlockhash": self._blockhash,
            "getSignatureStatuses": lambda: self._context([self.known.get(each) for each in params[0]]),
        }
        return {"result": answers[method]()}

    def _context(self, value: Any) -> dict[str, Any]:
        return {"context": {"slot": self.slot}, "value": value}

    def _height(self, commitment: str) -> int:
        depth = FINAL_DEPTH if commitment == "finalized" else 0
        return self.slot - SLOTS_BEFORE_BLOCKS - depth + self.extra_height

    def _epoch_info(self) -> dict[str, int]:
        return {
            "absoluteSlot": self.slot,
            "blockHeight": self._height("processed"),
            "epoch": 1,
            "slotIndex": 1,
            "slotsInEpoch": 432_000,
            "transactionCount": 1,
        }

    def _blockhash(self) -> dict[str, Any]:
        valid = self._height("processed") + 150 + self.extra_validity
        return self._context({"blockhash": GENESIS, "lastValidBlockHeight": valid})


class ScriptedPool:
    """A pool over scripted nodes; `pass_time` is what moves them."""

    def __init__(self, clock: VirtualClock, pool: RpcPool, nodes: list[ScriptedNode]) -> None:
        self.clock, self.pool, self.nodes = clock, pool, nodes

    @property
    def states(self) -> list[str]:
        return [report.state for report in self.pool.endpoints()]

    @property
    def whys(self) -> list[str]:
        return [report.why for report in self.pool.endpoints()]

    async def finish(self, work: Any, *, within_s: float = 30) -> tuple[Any, float]:
        """Let time pass until the work is done: its result and how long it took; raises what it raised."""
        task = asyncio.ensure_future(work)
        begun_ns = self.clock.monotonic_ns()
        while not task.done():
            elapsed_s = (self.clock.monotonic_ns() - begun_ns) / 1e9
            assert elapsed_s < within_s, f"not done within {within_s} s"
            await self.clock.advance(0.001)
        elapsed_s = (self.clock.monotonic_ns() - begun_ns) / 1e9
        return task.result(), elapsed_s

    async def pass_time(self, seconds: float) -> None:
        """In small steps, so that everything due happens in its order."""
        for _ in range(round(seconds / 0.05)):
            await self.clock.advance(0.05)

    async def meet(self) -> str:
        genesis, _ = await self.finish(self.pool.genesis_hash())
        return str(genesis)


@asynccontextmanager
async def scripted_pool(count: int = 3, **limits: Any) -> AsyncIterator[ScriptedPool]:
    """So many nodes in good health that have not been met yet."""
    clock = VirtualClock()
    nodes = [ScriptedNode(clock) for _ in range(count)]
    urls = [f"https://node{number}.example/key-{number}" for number in range(count)]
    limits.setdefault("requests_per_s", [500] * count)
    async with RpcPool(urls, PoolLimits(**limits), clock) as pool:
        for endpoint, node in zip(pool.nodes, nodes, strict=True):
            _connect(endpoint, node)
        yield ScriptedPool(clock, pool, nodes)


def _connect(endpoint: Endpoint, node: ScriptedNode) -> None:
    endpoint.reader._rpc = node  # type: ignore[assignment]  # the script stands where the network is


def status(slot: int, level: str) -> dict[str, Any]:
    """A status as nodes tell it, of a transaction that went well."""
    confirmations = None if level == "finalized" else 1
    return {
        "slot": slot,
        "confirmations": confirmations,
        "err": None,
        "status": {"Ok": None},
        "confirmationStatus": level,
    }
