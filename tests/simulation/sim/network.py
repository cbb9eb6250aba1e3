"""The way of signed bytes to the nodes, as the engine's sender sees it, and the way of news from them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from random import Random
from typing import Any, Protocol

import aiohttp
from solders.pubkey import Pubkey

from engine.chain.frames import AccountNews
from engine.protocol.addresses import PROGRAM_ID
from sim.cluster import SLOT_S, Cluster
from sim.nodes import Node
from sim.swarm import Plan
from sim.timeline import Timeline

HTTP_HEADERS: dict[str, str] = {}


class Observing(Protocol):
    """Who sees bytes the moment they leave."""

    def on_wire(self, raw: bytes) -> None:
        """These bytes leave."""


class _Writer:
    """A socket: what is written to it has left."""

    def __init__(self, on_bytes: Callable[[bytes], None]) -> None:
        self._on_bytes = on_bytes

    async def write(self, chunk: bytes) -> None:
        """Bytes leave."""
        self._on_bytes(bytes(chunk))


class _Content:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body in one piece."""
        yield self._body


class Answer:
    """A node's HTTP answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers = HTTP_HEADERS
        self.content = _Content(body)


class _Post:
    """One request on its way, as an async context manager."""

    def __init__(self, session: WireSession, url: str, payload: Any, deadline_s: float) -> None:
        self._session, self._url, self._payload, self._deadline_s = session, url, payload, deadline_s

    async def __aenter__(self) -> Answer:
        return await self._session.exchange(self._url, self._payload, self._deadline_s)

    async def __aexit__(self, *_: object) -> None:
        return None


class WireSession:
    """The sender's connections; `reach` is called before and after bytes leave, and when an answer comes."""

    def __init__(
        self,
        nodes: dict[str, Node],
        plan: Plan,
        random: Random,
        cluster: Cluster,
        timeline: Timeline,
        observer: Observing,
        reach: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self._nodes = nodes
        self._plan = plan
        self._random = random
        self._cluster = cluster
        self._timeline = timeline
        self._observer = observer
        self._reach = reach
        self._count = count

    def post(self, url: str, *, data: Any, timeout: aiohttp.ClientTimeout, **_: object) -> _Post:
        """As aiohttp's."""
        return _Post(self, url, data, timeout.total or 5.0)

    async def close(self) -> None:
        """Nothing to close."""

    async def exchange(self, url: str, payload: Any, deadline_s: float) -> Answer:
        """Connect, write, and wait for the answer; in the node's mood."""
        node, random = self._nodes[url], self._random
        began_s = self._timeline.now_s
        connect_s = random.choice((0.0, 0.0, 0.0, 0.002, 0.02, 0.3))
        if node.mood == "node is silent":
            connect_s = deadline_s
        await asyncio.sleep(min(connect_s, deadline_s))
        if connect_s >= deadline_s:
            raise TimeoutError
        if node.mood == "node fails":
            raise aiohttp.ClientConnectionError("refused")
        written = bytearray()
        await payload.write_with_length(_Writer(lambda chunk: self._leave(chunk, written)), None)
        raw = base64.b64decode(json.loads(bytes(written))["params"][0])
        answer = self._deliver(node, raw)
        self._reach("socket after write")
        latency_s = random.uniform(0.005, 0.05)
        if node.mood in ("node is late", "node takes and forgets"):
            latency_s = random.uniform(0.3, 6.0)
        left_s = deadline_s - (self._timeline.now_s - began_s)
        await asyncio.sleep(min(latency_s, left_s))
        if latency_s >= left_s:
            self._count("send timed out after the write")
            raise TimeoutError
        self._reach("answer to a send")
        return answer

    def _leave(self, chunk: bytes, written: bytearray) -> None:
        if not written:
            self._reach("socket before write")
        written += chunk
        self._observer.on_wire(chunk)

    def _deliver(self, node: Node, raw: bytes) -> Answer:
        """What the node does with it, and says."""
        if node.mood == "node refuses to send":
            self._count(node.mood)
            error = {"code": -32003, "message": "Transaction refused"}
            return Answer(HTTPStatus.OK, json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())
        if node.mood == "node takes and forgets":
            self._count(node.mood)
        else:
            self._timeline.after(self._random.uniform(0.005, 0.1), lambda: self._cluster.receive(raw))
        transaction = self._cluster.parse(raw)
        assert transaction is not None
        answer = {"jsonrpc": "2.0", "id": 1, "result": str(transaction.signature)}
        return Answer(HTTPStatus.OK, json.dumps(answer).encode())


class News(Protocol):
    """The engine's listener; see engine.chain.subscriptions."""

    def on_connected(self) -> None: ...
    def on_disconnected(self, reason: str) -> None: ...
    def on_doubt(self, reason: str) -> None: ...
    def on_slot(self, slot: int) -> None: ...
    def on_accounts(self, news: list[AccountNews]) -> None: ...


class Feed:
    """What one node tells over its WebSocket: slots and accounts at processed, block by block."""

    def __init__(
        self,
        node: Node,
        plan: Plan,
        random: Random,
        cluster: Cluster,
        timeline: Timeline,
        listener: News,
        watched: frozenset[Pubkey],
        reach: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self._node = node
        self._plan = plan
        self._random = random
        self._cluster = cluster
        self._timeline = timeline
        self._listener = listener
        self._watched = watched
        self._reach = reach
        self._count = count
        self._told_slot = 0

    async def run(self) -> None:
        """Connect, tell, break off, and connect again; ends only by cancellation."""
        while True:
            await asyncio.sleep(self._random.uniform(0.005, 0.1))
            if self._node.mood in ("node fails", "node is silent"):
                await asyncio.sleep(0.5)
                continue
            self._told_slot = self._node.slot
            self._listener.on_connected()
            await self._tell()
            self._count("feed breaks off")
            self._listener.on_disconnected("the connection broke")

    async def _tell(self) -> None:
        """Until the connection breaks."""
        while True:
            await asyncio.sleep(SLOT_S / 2)
            calm = self._cluster.is_calm
            if not calm and self._random.random() < 0.03 * self._plan.intensity("feed breaks off"):
                return
            if self._node.mood == "node is silent":
                continue
            self._tell_what_is_new()

    def _tell_what_is_new(self) -> None:
        slot = self._node.slot
        new = [
            block
            for block in self._cluster.blocks[-30:]
            if block.slot > self._told_slot and block.slot <= slot
        ]
        for block in new:
            if block.parent_slot > self._told_slot:
                self._listener.on_doubt(f"slot {block.slot} on {block.parent_slot}")
            self._told_slot = block.slot
            self._reach("news")
            self._listener.on_slot(block.slot)
            news = [
                self._news(address, block.slot)
                for address in block.changed
                if address in self._watched or self._is_announced(address, block.slot)
            ]
            drops = 0.4 * self._plan.intensity("feed drops news")
            if news and drops and not self._cluster.is_calm and self._random.random() < drops:
                self._count("feed drops news")
                continue
            if news:
                self._listener.on_accounts(news)

    def _is_announced(self, address: Pubkey, slot: int) -> bool:
        """A closed account is not announced to subscribers of its program."""
        account = self._cluster.read(address, slot)
        return account is not None and account.owner == PROGRAM_ID

    def _news(self, address: Pubkey, slot: int) -> AccountNews:
        account = self._cluster.read(address, slot)
        assert account is not None
        return AccountNews(address, account.data, account.owner, slot, account.lamports)


class Feeds:
    """The feeds of the first two nodes, in the place of the engine's own."""

    def __init__(self, feeds: list[Feed]) -> None:
        self._feeds = feeds

    async def run(self) -> None:
        """Run every feed."""
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(feed.run())
