"""The way of signed bytes to the nodes, as the engine's sender sees it, and the way of news from them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import msgspec
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.chain.frames import AccountNews
from engine.chain.lines import SendLines
from engine.protocol.addresses import PROGRAM_ID
from sim.cluster import SLOT_S, Cluster
from sim.loop import sleep
from sim.nodes import Node
from sim.swarm import Plan
from sim.timeline import Timeline


class Observing(Protocol):
    """Who sees bytes the moment they leave."""

    def on_wire(self, raw: bytes) -> None:
        """These bytes leave."""


class Line:
    """A socket: as much of one as the sender and its lines use."""

    def __init__(self) -> None:
        self.transport: WireTransport | None = None
        self.url = ""
        self._is_open = True

    def fileno(self) -> int:
        """Negative once it is closed."""
        return 1 if self._is_open else -1

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def setsockopt(self, *_: object) -> None:
        """It has no options."""

    def shutdown(self, how: int) -> None:
        """Cut, by a stop."""
        if self.transport is not None:
            self.transport.cut()

    def close(self) -> None:
        """Nothing more is written or read."""
        self._is_open = False


class ModelLines(SendLines):
    """The sender's sockets; a stop cuts them as it cuts real ones."""

    def open(self, address: tuple[Any, ...]) -> Any:
        """A new socket."""
        line = Line()
        self._sockets = [each for each in self._sockets if each.fileno() >= 0]
        self._sockets.append(line)  # type: ignore[arg-type]
        return line


class WireTransport(asyncio.Transport):
    """One connection to a node. What is written has left at once, as a whole."""

    def __init__(self, network: Network, line: Line, node: Node, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._network = network
        self._line = line
        self._node = node
        self._protocol = protocol
        self._is_closing = False

    def write(self, data: Any) -> None:
        """Bytes leave."""
        if not self._is_closing:
            self._network.leave(self, self._node, bytes(data))

    def get_write_buffer_size(self) -> int:
        """Nothing ever waits."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing ever waits."""

    def is_closing(self) -> bool:
        """Whether it is of no use any more."""
        return self._is_closing

    def abort(self) -> None:
        """Give it up."""
        self._end(None)

    def cut(self) -> None:
        """The kernel closed it: the engine hears of it in a later turn."""
        self._end(None)

    def reset(self) -> None:
        """The node closed it."""
        self._end(ConnectionResetError("reset"))

    def answer(self, raw: bytes) -> None:
        """Bytes come from the node."""
        if not self._is_closing:
            self._protocol.data_received(raw)

    def _end(self, error: Exception | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._line.close()
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)


class Network:
    """One process's connections to the nodes, below its event loop; `reach` as in `sim.life`."""

    def __init__(
        self,
        nodes: dict[str, Node],
        random: Random,
        cluster: Cluster,
        timeline: Timeline,
        observer: Observing,
        reach: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self._nodes = nodes
        self._random = random
        self._cluster = cluster
        self._timeline = timeline
        self._observer = observer
        self._reach = reach
        self._count = count

    async def connect(self, line: Line, address: tuple[str, int]) -> None:
        """Make a connection; raises OSError."""
        line.url = f"http://{address[0]}:{address[1]}"
        mood = self._nodes[line.url].mood
        if mood == "node is silent":
            await sleep(3600)
        await sleep(self._random.choice((0.0005, 0.0005, 0.002, 0.02, 0.3)))
        if mood == "node fails":
            raise ConnectionRefusedError("refused")

    def attach(self, line: Line, protocol: asyncio.Protocol) -> WireTransport:
        """A connection that was made belongs to a protocol from now on."""
        line.transport = WireTransport(self, line, self._nodes[line.url], protocol)
        return line.transport

    def leave(self, transport: WireTransport, node: Node, request: bytes) -> None:
        """Bytes go to a node, which does with them and answers as it is in the mood to."""
        self._reach("socket before write")
        self._observer.on_wire(request)
        loop, random = asyncio.get_running_loop(), self._random
        if node.mood == "node is silent":
            self._count("send went into silence")
        elif node.mood == "node fails":
            if random.random() < 0.5:
                self._take(request)
            loop.call_later(random.uniform(0.001, 0.05), transport.reset)
        else:
            answer = self._answer(node, request)
            is_slow = node.mood in ("node is late", "node takes and forgets")
            latency_s = random.uniform(0.3, 6.0) if is_slow else random.uniform(0.005, 0.05)
            loop.call_later(latency_s, self._arrive, transport, answer)
        self._reach("socket after write")

    def _arrive(self, transport: WireTransport, answer: bytes) -> None:
        self._reach("answer to a send")
        transport.answer(answer)

    def _answer(self, node: Node, request: bytes) -> bytes:
        """What the node does with it, and says."""
        if node.mood == "node refuses to send":
            self._count(node.mood)
            return _http({"error": {"code": -32003, "message": "Transaction refused"}})
        if node.mood == "node takes and forgets":
            self._count(node.mood)
        else:
            self._take(request)
        transaction = self._cluster.parse(raw_in(request))
        assert transaction is not None
        return _http({"result": str(transaction.signature)})

    def _take(self, request: bytes) -> None:
        raw = raw_in(request)
        self._timeline.after(self._random.uniform(0.005, 0.1), lambda: self._cluster.receive(raw))


def raw_in(request: bytes) -> bytes:
    """The transaction's bytes in a request to send it."""
    body = request[request.index(b"\r\n\r\n") + 4 :]
    return base64.b64decode(msgspec.json.decode(body)["params"][0])


def _http(reply: dict[str, Any]) -> bytes:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, **reply})
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


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
        hear: Callable[[Signature], None],
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
        self._hear = hear
        self._reach = reach
        self._count = count
        self._told_slot = 0

    async def run(self) -> None:
        """Connect, tell, break off, and connect again; ends only by cancellation."""
        while True:
            await sleep(self._random.uniform(0.005, 0.1))
            if self._node.mood in ("node fails", "node is silent"):
                await sleep(0.5)
                continue
            self._told_slot = self._node.slot
            self._listener.on_connected()
            await self._tell()
            self._count("feed breaks off")
            self._listener.on_disconnected("the connection broke")

    async def _tell(self) -> None:
        """Until the connection breaks."""
        while True:
            await sleep(SLOT_S)
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
            for landed in block.landed:
                self._hear(landed.transaction.signature)
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
