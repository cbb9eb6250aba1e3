"""Nodes die, freeze, swallow and come back, one or all of them: what can be done is done, and once."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
from arena import Arena, Engine
from tcp_proxy import TcpProxy
from waiting import until
from witness import nothing_is_missing_or_twice

from engine.api import wire

NODES = 3
NOTHING = "nothing is decided"


class Nodes:
    """Each node behind proxies of ours: its RPC and its WebSocket die and come back together."""

    def __init__(self) -> None:
        self.pairs: list[tuple[TcpProxy, TcpProxy]] = []

    async def stand_before(self, arena: Arena) -> None:
        """Let the engine know the nodes by the proxies alone."""
        for rpc, ws in zip(arena.where["rpc_urls"], arena.where["ws_urls"], strict=True):
            pair = TcpProxy(rpc), TcpProxy(ws)
            for proxy in pair:
                await proxy.listen()
            self.pairs.append(pair)
        arena.settings |= {
            "SOLANA_RPC_URL": ",".join(f"http://127.0.0.1:{rpc.port}" for rpc, _ in self.pairs),
            "SOLANA_WS_URL": ",".join(f"ws://127.0.0.1:{ws.port}" for _, ws in self.pairs),
        }

    async def kill(self, *numbers: int) -> None:
        """Their ports are closed and their connections reset."""
        for number in numbers:
            for proxy in self.pairs[number]:
                await proxy.refuse()

    def swallow(self, *numbers: int) -> None:
        """Nothing comes back from them any more; connections stand."""
        for number in numbers:
            for proxy in self.pairs[number]:
                proxy.swallow()

    async def restore(self, *numbers: int) -> None:
        """They are as before."""
        for number in numbers:
            for proxy in self.pairs[number]:
                await proxy.forward()

    async def close(self) -> None:
        """End all proxies."""
        for pair in self.pairs:
            for proxy in pair:
                await proxy.close()


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """No proxies yet."""
    async with AsyncExitStack() as stack:
        nodes = Nodes()
        stack.push_async_callback(nodes.close)
        yield nodes


async def _begin(arena: Arena, nodes: Nodes) -> Engine:
    await arena.start_sandbox("--nodes", str(NODES))
    await nodes.stand_before(arena)
    engine = await arena.start_engine()
    await arena.ready()
    await arena.let_prices_go()
    await arena.liquidates(5)
    return engine


def _used(seen: wire.Snapshot) -> list[bool]:
    return [row.state == "ok" for row in seen.chain.endpoints]


async def _uses(arena: Arena, *wanted: bool) -> None:
    await arena.until(f"of the nodes these are used: {wanted}", lambda seen: _used(seen) == list(wanted), 90)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_nodes_that_die_one_after_the_other_are_left_and_used_again_when_they_are_back(
    arena: Arena, nodes: Nodes
) -> None:
    engine = await _begin(arena, nodes)
    await nodes.kill(0)
    await _uses(arena, False, True, True)
    await arena.liquidates(5)
    await nodes.kill(1)
    await _uses(arena, False, False, True)
    await arena.liquidates(5)
    await nodes.kill(2)
    await _decides_nothing(arena)
    await nodes.restore(1)
    await arena.liquidates(5)
    await nodes.restore(0, 2)
    await _uses(arena, True, True, True)
    await arena.liquidates(5)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena, at_least=20)


async def _decides_nothing(arena: Arena) -> None:
    await arena.until(
        "it says that nothing is decided",
        lambda seen: any(NOTHING in line for line in seen.engine.degraded),
        90,
    )


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_when_all_nodes_swallow_for_longer_than_a_blockhash_lives_it_waits_and_goes_on(
    arena: Arena, nodes: Nodes
) -> None:
    engine = await _begin(arena, nodes)
    for _ in range(2):
        await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
        nodes.swallow(*range(NODES))
        await _decides_nothing(arena)
        await arena.outlive_blockhashes()
        await nodes.restore(*range(NODES))
        await arena.liquidates(5)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_when_the_process_of_all_nodes_is_frozen_it_waits_and_goes_on(arena: Arena) -> None:
    engine = await arena.begin("--nodes", str(NODES))
    for _ in range(3):
        await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
        await arena.freeze(arena.sandbox)
        await _decides_nothing(arena)
        arena.thaw(arena.sandbox)
        await arena.liquidates(5)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_the_engine_killed_while_no_node_answers_settles_everything_once_one_does(
    arena: Arena, nodes: Nodes
) -> None:
    engine = await _begin(arena, nodes)
    await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
    await nodes.kill(*range(NODES))
    await engine.kill()
    lonely = await arena.start_engine(RPC_TIMEOUT_S="1")
    assert await lonely.ended() == 2
    line = lonely.said.splitlines()[-1]
    assert line.startswith("liquidation-engine: Solana RPC at http://127.0.0.1:")
    assert "cannot be used" in line
    await nodes.restore(2)
    await arena.start_engine()
    await arena.ready()
    await arena.liquidates(5)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_node_that_comes_back_as_another_cluster_is_sent_nothing_and_named(arena: Arena) -> None:
    engine = await arena.begin()
    await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
    rpc, ws = (urlsplit(arena.where[name]).port or 0 for name in ("rpc_url", "ws_url"))
    arena.sandbox.send_signal(signal.SIGKILL)
    await arena.sandbox.wait()
    await _decides_nothing(arena)
    # Every transaction that this one is sent over RPC would be counted; its own market sends none that way.
    counting = 'http.methods={"sendTransaction":{"repeat_share":1}}'
    await arena.start_sandbox("--trouble", counting, rpc_port=rpc, ws_port=ws)
    await arena.let_prices_go()
    await arena.until("the node is called foreign", _is_foreign, 90)
    begun = await arena.height()

    async def slots_pass() -> bool:
        return await arena.height() > begun + 100

    await until("the other cluster goes on", slots_pass)
    seen = await arena.until("it still says so", _is_foreign)
    assert any(NOTHING in line for line in seen.engine.degraded)
    assert (await arena.counters()).get("http_repeated", 0) == 0
    assert engine.is_alive


def _is_foreign(seen: wire.Snapshot) -> bool:
    return [row.state for row in seen.chain.endpoints] == ["foreign"]
