"""Hints of confirmations: heard from real sockets, believed by nobody, and bounded whatever a node says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from solders.signature import Signature

import engine.chain.confirmations as confirmations_module
from engine.chain.confirmations import MOST_WATCHED, Confirmations
from engine.chain.websocket import UNSENT_BYTES
from engine.clock import SystemClock


class Node:
    """A WebSocket that confirms subscriptions; what it tells is up to the test."""

    def __init__(self, changed: asyncio.Event | None = None) -> None:
        self.changed = changed or asyncio.Event()
        self.url = ""
        self.calls: list[dict[str, Any]] = []
        self.answers: Callable[[dict[str, Any]], str | None] = lambda call: json.dumps(
            {"jsonrpc": "2.0", "id": call["id"], "result": 100 + call["id"]}
        )
        self.sockets: list[web.WebSocketResponse] = []
        self.connections = 0

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        self.sockets.append(socket)
        self.changed.set()
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            call = message.json()
            self.calls.append(call)
            answer = self.answers(call)
            if answer is not None:
                await socket.send_str(answer)
            self.changed.set()
        self.sockets.remove(socket)
        return socket

    def subscription_of(self, signature: Signature) -> int:
        return next(100 + call["id"] for call in self.calls if call["params"][0] == str(signature))

    async def notify(self, subscription: int) -> None:
        result = {"context": {"slot": 5}, "value": {"err": None}}
        params = {"result": result, "subscription": subscription}
        message = {"jsonrpc": "2.0", "method": "signatureNotification", "params": params}
        await self.sockets[-1].send_str(json.dumps(message))

    def asked(self, method: str) -> list[Any]:
        return [call["params"][0] for call in self.calls if call["method"] == method]


class Hearing:
    """Nodes, a subscriber to them, and what it heard."""

    def __init__(self, nodes: list[Node], confirmations: Confirmations, changed: asyncio.Event) -> None:
        self.nodes, self.confirmations = nodes, confirmations
        self.heard: list[Signature] = []
        self._changed = changed
        confirmations.listen(self._hear)

    def _hear(self, signature: Signature) -> None:
        self.heard.append(signature)
        self._changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for what nodes were asked, or for what was heard."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def hearing(count: int = 1, *, beside: Sequence[str] = ()) -> AsyncIterator[Hearing]:
    changed = asyncio.Event()
    nodes = [Node(changed) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            app = web.Application()
            app.router.add_get("/", node.serve)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            node.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
        confirmations = Confirmations(
            [*beside, *(node.url for node in nodes)],
            SystemClock(),
            is_fit=lambda url: url in {*beside, *(each.url for each in nodes)},
        )
        heard = Hearing(nodes, confirmations, changed)
        running = asyncio.create_task(confirmations.run())
        yield heard
        assert not running.done(), running.exception()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_in_flight_is_subscribed_to_at_confirmed_and_heard_of_once():
    async with hearing() as heard:
        (node,) = heard.nodes
        first, second = Signature.new_unique(), Signature.new_unique()
        await heard.until(lambda: node.connections)
        heard.confirmations.watch(first)
        heard.confirmations.watch(second)
        await heard.until(lambda: len(node.calls) == 2)
        assert all(call["params"][1] == {"commitment": "confirmed"} for call in node.calls)
        for _ in range(3):
            await node.notify(node.subscription_of(second))
        await heard.until(lambda: heard.heard)
        await node.notify(node.subscription_of(first))
        await heard.until(lambda: len(heard.heard) == 2)
        assert heard.heard == [second, first]


async def test_two_nodes_are_asked_and_each_may_be_the_first_to_tell():
    async with hearing(3) as heard:
        signature = Signature.new_unique()
        heard.confirmations.watch(signature)
        await heard.until(lambda: sum(len(node.calls) for node in heard.nodes) == 2)
        for node in heard.nodes:
            if node.calls:
                await node.notify(node.subscription_of(signature))
        await heard.until(lambda: len(heard.heard) == 2)


async def test_after_a_broken_connection_everything_in_flight_is_subscribed_to_again():
    async with hearing() as heard:
        (node,) = heard.nodes
        kept, ended = Signature.new_unique(), Signature.new_unique()
        heard.confirmations.watch(kept)
        heard.confirmations.watch(ended)
        await heard.until(lambda: len(node.calls) == 2)
        heard.confirmations.forget(ended)
        node.calls.clear()
        await node.sockets[-1].close()
        await heard.until(lambda: node.asked("signatureSubscribe"))
        assert node.asked("signatureSubscribe") == [str(kept)]
        await node.notify(node.subscription_of(kept))
        await heard.until(lambda: heard.heard == [kept])


async def test_what_has_ended_unheard_is_unsubscribed_from():
    async with hearing() as heard:
        (node,) = heard.nodes
        signature = Signature.new_unique()
        heard.confirmations.watch(signature)
        await heard.until(lambda: len(node.calls) == 1)
        subscription = node.subscription_of(signature)
        await asyncio.sleep(0)
        heard.confirmations.watch(Signature.new_unique())
        await heard.until(lambda: len(node.calls) == 2)
        heard.confirmations.forget(signature)
        await heard.until(lambda: node.asked("signatureUnsubscribe") == [subscription])
        await node.notify(subscription)
        await node.notify(subscription + 1)
        await heard.until(lambda: heard.heard)
        assert signature not in heard.heard


async def test_a_node_that_cannot_even_be_looked_up_ends_nothing():
    async with hearing(beside=["ws://no..host/"]) as heard:
        (node,) = heard.nodes
        signature = Signature.new_unique()
        heard.confirmations.watch(signature)
        await heard.until(lambda: node.calls)
        await node.notify(node.subscription_of(signature))
        await heard.until(lambda: heard.heard == [signature])


async def test_a_node_that_does_not_read_is_left_and_keeps_nothing_from_the_other(monkeypatch):
    async with hearing(2) as heard:
        heard.confirmations.watch(Signature.new_unique())
        await heard.until(lambda: all(node.calls for node in heard.nodes))
        deaf, other = heard.nodes
        full = heard.confirmations._connections[deaf.url]._socket
        # Megabytes lie in the kernel before that is noticed.
        monkeypatch.setattr(full._transport, "get_write_buffer_size", lambda: UNSENT_BYTES + 1)
        signature = Signature.new_unique()
        heard.confirmations.watch(signature)
        await heard.until(lambda: other.asked("signatureSubscribe")[-1] == str(signature))
        await heard.until(lambda: deaf.connections == 2)


async def test_no_more_are_watched_than_may_be():
    confirmations = Confirmations([], SystemClock(), is_fit=bool)
    for _ in range(MOST_WATCHED + 50):
        confirmations.watch(Signature.new_unique())
    assert len(confirmations) == MOST_WATCHED


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "17",
        "[" * 40_000,
        '{"id":1,"result":"text"}',
        '{"id":1,"result":true}',
        '{"id":1,"result":99999999999999999999999999}',
        '{"id":1,"error":{"code":-32601,"message":"Method not found"}}',
        '{"id":77,"result":5}',
        '{"method":"signatureNotification","params":{"subscription":31337}}',
        '{"method":"signatureNotification","params":{"subscription":"one"}}',
        '{"method":"signatureNotification"}',
        '{"method":"slotNotification","params":{"subscription":101}}',
    ],
)
async def test_nonsense_is_heard_as_nothing_and_ends_nothing(nonsense):
    async with hearing() as heard:
        (node,) = heard.nodes
        node.answers = lambda call: nonsense if call["id"] == 1 else None
        heard.confirmations.watch(Signature.new_unique())
        await heard.until(lambda: node.calls)
        signature = Signature.new_unique()
        node.answers = Node().answers
        heard.confirmations.watch(signature)
        await heard.until(lambda: len(node.calls) == 2)
        await node.notify(node.subscription_of(signature))
        await heard.until(lambda: heard.heard)
        assert heard.heard == [signature]
        assert node.connections == 1


async def test_a_node_that_talks_nothing_but_nonsense_or_endlessly_is_left_and_tried_again():
    async with hearing() as heard:
        (node,) = heard.nodes
        await heard.until(lambda: node.connections == 1)
        for _ in range(100):
            await node.sockets[-1].send_str("?")
        await heard.until(lambda: node.connections == 2)
        await node.sockets[-1].send_str("x" * 100_000)
        await heard.until(lambda: node.connections == 3)


async def test_a_node_that_confirms_no_subscription_is_left_for_another(monkeypatch):
    monkeypatch.setattr(confirmations_module, "ANSWER_S", 0.05)
    async with hearing() as heard:
        (node,) = heard.nodes
        node.answers = lambda call: None
        signature = Signature.new_unique()
        heard.confirmations.watch(signature)
        await heard.until(lambda: len(node.calls) == 2)  # of two connections, both with no answer
        monkeypatch.setattr(confirmations_module, "ANSWER_S", 10.0)
        node.answers = Node().answers
        before, asked = node.connections, len(node.asked("signatureSubscribe"))
        await heard.until(lambda: node.connections > before)
        await heard.until(lambda: len(node.asked("signatureSubscribe")) > asked)
        assert node.asked("signatureSubscribe")[-1] == str(signature)
