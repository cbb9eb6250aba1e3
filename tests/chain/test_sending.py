"""Where signed bytes go when a node does not take them: real sockets, and the gate before every write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from solders.signature import Signature

from engine.chain.port import LyingNode, RpcFailure
from engine.chain.sender import PATIENCE_S, Sender
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState, SendingStopped

RAW = bytes(range(200))
TAKEN = {"jsonrpc": "2.0", "id": 1, "result": str(Signature.from_bytes(RAW[1:65]))}


class Node:
    """A destination with a real listener; `answer` None is silence."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: web.Response | dict | None = TAKEN
        self.headers: dict[str, str] = {}
        self.status = 200
        self.received = 0
        self.arrived = asyncio.Event()
        self.charged = 0
        self.failures: list[RpcFailure] = []

    def charge(self) -> None:
        self.charged += 1

    def failed(self, failure: RpcFailure) -> None:
        self.failures.append(failure)

    def lied(self, what: str) -> RpcFailure:
        return LyingNode("a test's node", what)

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.received += 1
        self.arrived.set()
        if self.answer is None:
            await asyncio.sleep(60)
        return web.json_response(self.answer, status=self.status, headers=self.headers)


class Route:
    """Two nodes in order, an open gate, a sender."""

    def __init__(self, nodes: list[Node], gate: Gate, sender: Sender) -> None:
        self.nodes, self.gate, self.sender = nodes, gate, sender
        self.left: list[int] = []

    async def send(self) -> float:
        begun = asyncio.get_running_loop().time()
        await self.sender.send(RAW, self.left.append)
        return asyncio.get_running_loop().time() - begun

    @property
    def received(self) -> list[int]:
        return [node.received for node in self.nodes]


@pytest.fixture
async def route(tmp_path: Path) -> AsyncIterator[Route]:
    first = GateState(1, RUNNING, "engine", 0, "first start")
    gate = Gate.load(tmp_path / "gate.json", SystemClock(), first_start=first, has_history=False)
    nodes = [Node(), Node()]
    async with AsyncExitStack() as stack:
        for node in nodes:
            app = web.Application()
            app.router.add_post("/", node.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        sender = await stack.enter_async_context(Sender(lambda: nodes, gate, SystemClock(), 5.0))
        yield Route(nodes, gate, sender)


async def test_bytes_go_to_the_first_node_alone_while_it_takes_them(route):
    await route.send()
    assert route.received == [1, 0]
    assert [node.charged for node in route.nodes] == [1, 0]


async def test_a_silent_first_node_costs_less_than_a_second_and_the_write_is_told_once(route):
    route.nodes[0].answer = None
    assert PATIENCE_S <= await route.send() < 1
    assert route.received == [1, 1]
    assert len(route.left) == 1
    assert route.nodes[0].failures[0].is_timeout


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_node_that_is_out_of_order_hands_over_at_once(route, status):
    route.nodes[0].status, route.nodes[0].answer = status, {}
    route.nodes[0].headers = {"Retry-After": "9"}
    assert await route.send() < PATIENCE_S
    assert route.received == [1, 1]
    assert route.nodes[0].failures[0].retry_after_s == (9 if status == 429 else None)


async def test_a_node_that_calls_itself_unhealthy_hands_over_and_one_that_refuses_has_the_last_word(route):
    unhealthy = {"code": -32005, "message": "Node is behind by 42 slots"}
    route.nodes[0].answer = {"jsonrpc": "2.0", "id": 1, "error": unhealthy}
    await route.send()
    assert route.received == [1, 1]
    refusal = {"code": -32002, "message": "Transaction simulation failed: Blockhash not found"}
    route.nodes[0].answer = {"jsonrpc": "2.0", "id": 1, "error": refusal}
    with pytest.raises(RpcFailure, match="Blockhash not found"):
        await route.send()
    assert route.received == [2, 1]


async def test_a_stop_while_the_first_node_is_silent_keeps_every_byte_from_the_second(route):
    route.nodes[0].answer = None
    sending = asyncio.ensure_future(route.send())
    await route.nodes[0].arrived.wait()
    await route.gate.stop("the test", "now")
    with pytest.raises(SendingStopped):
        await sending
    assert route.received == [1, 0]


async def test_with_no_fit_node_nothing_leaves_and_it_is_the_nodes_fault(route):
    route.nodes.clear()
    with pytest.raises(RpcFailure, match="no node is fit"):
        await route.send()
    assert route.left == []
