"""Nodes on real sockets that tell what a test says, and a listener that keeps what it heard."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web
from simulated import VirtualClock
from solders.pubkey import Pubkey

from engine.chain.frames import AccountNews
from engine.chain.subscriptions import LiveFeeds
from engine.protocol.addresses import PROGRAM_ID

WITHIN_S = 30.0
PRICE, FUND = Pubkey.from_bytes(b"p" * 32), Pubkey.from_bytes(b"f" * 32)
WATCHED = [PRICE, FUND]
FIRST_NUMBER = 100  # of a subscription; requests count from one


class TellingNode:
    """Confirms what is subscribed, then tells whatever it is told to tell."""

    def __init__(self) -> None:
        self.refuses: frozenset[str] = frozenset()
        self.before_answers: list[str] = []
        self.subscribed: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()
        self.connections = 0
        self.socket: web.WebSocketResponse | None = None
        self.url = ""

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for text in self.before_answers:
            await socket.send_str(text)
        asked = 0
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            call, asked = message.json(), asked + 1
            answer = {"jsonrpc": "2.0", "id": call["id"]}
            if call["method"] in self.refuses:
                await socket.send_json(answer | {"error": {"code": -32601, "message": "not\nhere"}})
            else:
                await socket.send_json(answer | {"result": FIRST_NUMBER + call["id"]})
            if asked == 2 + len(WATCHED):
                self.socket = socket
                self.subscribed.put_nowait(socket)
        return socket

    async def say(self, text: str) -> None:
        assert self.socket is not None
        await self.socket.send_str(text)

    async def slot(self, slot: int, parent: int | None = None) -> None:
        await self.say(slot_frame(slot, slot - 1 if parent is None else parent))

    async def slots(self, first: int, last: int) -> None:
        for slot in range(first, last + 1):
            await self.slot(slot)

    async def position(self, address: Pubkey, slot: int, data: bytes = b"position") -> None:
        await self.say(program_frame(address, slot, data))

    async def watched(self, address: Pubkey, slot: int, data: bytes = b"watched") -> None:
        await self.say(account_frame(FIRST_NUMBER + 3 + WATCHED.index(address), slot, data))


def slot_frame(slot: int, parent: int) -> str:
    result = {"parent": parent, "root": max(0, slot - 32), "slot": slot}
    return _notification("slot", result, FIRST_NUMBER + 1)


def program_frame(address: Pubkey, slot: int, data: bytes = b"position") -> str:
    value = {"pubkey": str(address), "account": account_shape(data)}
    return _notification("program", {"context": {"slot": slot}, "value": value}, FIRST_NUMBER + 2)


def account_frame(number: int, slot: int, data: bytes = b"watched") -> str:
    return _notification("account", {"context": {"slot": slot}, "value": account_shape(data)}, number)


def account_shape(data: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "lamports": 7,
        "data": [base64.b64encode(data).decode(), "base64"],
        "owner": str(PROGRAM_ID),
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
        **changes,
    }


def _notification(kind: str, result: Any, number: int) -> str:
    params = {"result": result, "subscription": number}
    return json.dumps({"jsonrpc": "2.0", "method": f"{kind}Notification", "params": params})


class Heard:
    """A listener: what was told, in order, and a way to wait for something."""

    def __init__(self) -> None:
        self.news: list[AccountNews] = []
        self.slots: list[int] = []
        self.doubts: list[str] = []
        self.lost: list[str] = []
        self.connected = 0
        self._changed = asyncio.Event()

    def on_connected(self) -> None:
        self.connected += 1
        self._changed.set()

    def on_disconnected(self, reason: str) -> None:
        self.lost.append(reason)
        self._changed.set()

    def on_doubt(self, reason: str) -> None:
        self.doubts.append(reason)
        self._changed.set()

    def on_slot(self, slot: int) -> None:
        self.slots.append(slot)
        self._changed.set()

    def on_accounts(self, news: Sequence[AccountNews]) -> None:
        self.news.extend(news)
        self._changed.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Feeds:
    """So many nodes, the feeds on them, and what those heard."""

    def __init__(self, nodes: list[TellingNode], **hooks: Any) -> None:
        self.nodes = nodes
        self.clock = VirtualClock()
        self.heard = Heard()
        urls = [node.url for node in nodes]
        self.feeds = LiveFeeds(urls, PROGRAM_ID, WATCHED, self.heard, self.clock, steady=[PRICE], **hooks)

    async def subscribed(self, *numbers: int) -> None:
        """The feeds are on these nodes."""
        async with asyncio.timeout(WITHIN_S):
            for number in numbers:
                await self.nodes[number].subscribed.get()
        await self.heard.until(lambda: self.heard.connected >= len(numbers))

    async def reconnect(self, number: int) -> None:
        """Let the wait before a connection end, and it be made with this node."""
        async with asyncio.timeout(WITHIN_S):
            waiting = asyncio.ensure_future(self.nodes[number].subscribed.get())
            while not waiting.done():
                await self.clock.advance(0.1)


@asynccontextmanager
async def telling_nodes(count: int, **hooks: Any) -> AsyncIterator[Feeds]:
    """Nodes that are up, and feeds on up to two of them that are subscribed."""
    runners, nodes = [], []
    for _ in range(count):
        node = TellingNode()
        app = web.Application()
        app.router.add_get("/", node.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        node.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        runners.append(runner)
        nodes.append(node)
    feeds = Feeds(nodes, **hooks)
    running = asyncio.ensure_future(feeds.feeds.run())
    try:
        yield feeds
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for runner in runners:
            await runner.cleanup()
