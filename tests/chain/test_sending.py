"""Where signed bytes go when a node does not take them: real sockets, and the gate before every write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from solders.signature import Signature

from engine.chain.port import LyingNode, NoLongerWanted, RpcFailure
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
        self.speaks = asyncio.Event()  # ends its silence
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
            await self.speaks.wait()
        return web.json_response(
            TAKEN if self.answer is None else self.answer, status=self.status, headers=self.headers
        )


class Route:
    """Some nodes in order, an open gate, a sender."""

    def __init__(self, nodes: list[Node], gate: Gate, sender: Sender) -> None:
        self.nodes, self.gate, self.sender = nodes, gate, sender
        self.left: list[int] = []

    async def send(self) -> float:
        begun = asyncio.get_running_loop().time()
        await self.sender.send(RAW, self.left.append)
        return asyncio.get_running_loop().time() - begun

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.01)

    @property
    def idle(self) -> list[int]:
        return [each.idle for each in self.sender._nodes.values()]

    @property
    def received(self) -> list[int]:
        return [node.received for node in self.nodes]


@asynccontextmanager
async def routed(tmp_path: Path, count: int, **options: Any) -> AsyncIterator[Route]:
    first = GateState(1, RUNNING, "engine", 0, "first start")
    gate = Gate.load(tmp_path / "gate.json", SystemClock(), first_start=first, has_history=False)
    nodes = [Node() for _ in range(count)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            app = web.Application()
            app.router.add_post("/", node.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        sender = await stack.enter_async_context(Sender(lambda: nodes, gate, SystemClock(), 5.0, **options))
        yield Route(nodes, gate, sender)


@pytest.fixture
async def route(tmp_path: Path) -> AsyncIterator[Route]:
    """Two nodes, of which one at a time gets the bytes."""
    async with routed(tmp_path, 2, fan_out=1) as route:
        yield route


@pytest.fixture
async def four(tmp_path: Path) -> AsyncIterator[Route]:
    """Four nodes, of which three at a time get the bytes."""
    async with routed(tmp_path, 4, fan_out=3) as route:
        yield route


async def test_bytes_go_to_the_first_node_alone_while_it_takes_them(route):
    await route.send()
    assert route.received == [1, 0]
    assert [node.charged for node in route.nodes] == [1, 0]


async def test_what_is_wanted_no_longer_when_it_would_be_written_stays_here_and_is_no_nodes_fault(four):
    with pytest.raises(NoLongerWanted):
        await four.sender.send(RAW, four.left.append, lambda: False)
    assert four.received == [0, 0, 0, 0]
    assert [node.failures for node in four.nodes] == [[], [], [], []]
    # A copy that had to wait for its connection is asked again: the first one has left, the others stay.
    await four.sender.send(RAW, four.left.append, lambda: not four.left)
    assert sum(four.received) == 1
    assert [node.failures for node in four.nodes] == [[], [], [], []]
    await four.send()
    assert sum(four.received) == 4


async def test_a_silent_first_node_costs_less_than_a_second_and_the_write_is_told_once(route):
    route.nodes[0].answer = None
    assert PATIENCE_S <= await route.send() < 1
    assert route.received == [1, 1]
    assert len(route.left) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_node_that_is_out_of_order_hands_over_at_once(route, status):
    route.nodes[0].status, route.nodes[0].answer = status, {}
    route.nodes[0].headers = {"Retry-After": "9"}
    assert await route.send() < PATIENCE_S
    assert route.received == [1, 1]
    assert route.nodes[0].failures[0].retry_after_s == (9 if status in (429, 503) else None)


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


# --- several at once ---


async def test_the_same_bytes_go_to_three_at_once_and_the_first_that_takes_them_is_the_answer(four):
    four.nodes[0].answer = four.nodes[2].answer = None
    # Who has no connection yet when another has taken them does not get them any more.
    await four.until(lambda: len(four.idle) == 3 and all(four.idle))
    assert await four.send() < PATIENCE_S
    await asyncio.gather(*(node.arrived.wait() for node in four.nodes[:3]))
    assert four.received == [1, 1, 1, 0]
    assert [node.charged for node in four.nodes] == [1, 1, 1, 0]
    assert len(four.left) == 1


async def test_a_refusal_by_one_is_no_failure_while_another_takes_them(four):
    refusal = {"code": -32002, "message": "Transaction simulation failed: Blockhash not found"}
    four.nodes[0].answer = {"jsonrpc": "2.0", "id": 1, "error": refusal}
    four.nodes[1].status, four.nodes[1].answer = 502, {}
    await four.send()
    assert four.received[3] == 0


async def test_the_fourth_gets_them_when_none_of_three_takes_them(four):
    for node in four.nodes[:3]:
        node.status, node.answer = 502, {}
    assert await four.send() < PATIENCE_S
    assert four.received == [1, 1, 1, 1]
    assert [len(node.failures) for node in four.nodes] == [1, 1, 1, 0]


async def test_of_all_refusals_the_one_that_says_most_is_told(four):
    answers = [
        {"error": {"code": -32005, "message": "Node is behind by 42 slots"}},
        {"error": {"code": -32002, "message": "Blockhash not found"}},
        {},
        {},
    ]
    for node, answer in zip(four.nodes, answers, strict=True):
        node.answer = answer
    with pytest.raises(RpcFailure, match="Blockhash not found"):
        await four.send()
    # It is about the transaction: a fourth node would say the same.
    assert four.received == [1, 1, 1, 0]


async def test_three_silent_nodes_hand_over_and_their_late_answer_still_counts(four):
    for node in four.nodes[:3]:
        node.answer = None
    four.nodes[3].status, four.nodes[3].answer = 502, {}
    sending = asyncio.ensure_future(four.send())
    await four.nodes[3].arrived.wait()
    four.nodes[1].speaks.set()
    await sending


async def test_connections_are_open_before_they_are_needed_and_closed_with_the_sender(tmp_path):
    async with routed(tmp_path, 3, ready=4) as route:
        await route.until(lambda: route.idle == [4, 4, 4])
        left_before_the_loop_went_on: list[int] = []
        answered = route.sender.send(RAW, left_before_the_loop_went_on.append)
        assert len(left_before_the_loop_went_on) == 1
        assert route.idle == [3, 3, 3]
        await answered
        await asyncio.gather(*(node.arrived.wait() for node in route.nodes))
        assert route.received == [1, 1, 1]


async def test_a_stop_while_connections_are_made_keeps_every_byte_back(four):
    sending = asyncio.ensure_future(four.send())
    await asyncio.sleep(0)
    await four.gate.stop("the test", "now")
    with pytest.raises(SendingStopped):
        await sending
    assert four.received == [0, 0, 0, 0]
    assert four.left == []
    assert [node.failures for node in four.nodes] == [[], [], [], []]
