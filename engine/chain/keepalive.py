"""Connections to one node that are open ahead of need: a request is one write, made at once or not at all."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

from engine.chain.http_answer import AnswerReader, BadAnswer, HttpAnswer

IDLE_S = 25.0  # whatever lies between a node and us forgets a connection that is silent for longer
CONNECT_S = 5.0
_USUAL_PORTS = {"http": 80, "https": 443}
_PLAIN = "/?%:@!$&'()*+,;=-._~"  # what a path and a query keep as it is


MakeSocket = Callable[[tuple[Any, ...]], socket.socket]
"""A new socket for an entry of getaddrinfo."""


def _plain_socket(entry: tuple[Any, ...]) -> socket.socket:
    return socket.socket(*entry[:3])


class NotAnswered(Exception):
    """The connection ended, broke, or talked nonsense before there was an answer."""


class Connection(asyncio.Protocol):
    """One connection, with one request at a time on its way."""

    def __init__(self, owner: NodeConnections, *, writes_at_once: bool) -> None:
        self._owner = owner
        self._writes_at_once = writes_at_once
        self._transport: asyncio.Transport | None = None
        self._socket_transport: asyncio.Transport | None = None  # below TLS
        self._reader: AnswerReader | None = None
        self._waiter: asyncio.Future[HttpAnswer] | None = None
        self.is_open = False
        self.idle_since_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Without TLS this is all that there is to it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class

    def adopt(self, transport: asyncio.Transport, socket_transport: asyncio.Transport) -> None:
        """It stands, and may be written to; raises ConnectionResetError when it is gone already."""
        if transport.is_closing():
            raise ConnectionResetError("the node closed the connection")
        self._transport, self._socket_transport = transport, socket_transport
        self.is_open = True

    def post(self, request: bytes, longest: int) -> asyncio.Future[HttpAnswer]:
        """Write a request; the future is its answer, of `longest` bytes at most, or raises NotAnswered.

        Raises NotAnswered when it has to be written at once and the connection does not take the whole of
        it: what does not leave now never does, since it might be after a stop.
        """
        transport, below = self._transport, self._socket_transport
        if not self.is_open or self._waiter is not None or transport is None or below is None:
            raise NotAnswered("the connection is closed")
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(_retrieve)
        self._reader = AnswerReader(longest)
        transport.write(request)
        if not self._writes_at_once:
            return waiter
        if transport.get_write_buffer_size() or below.get_write_buffer_size():
            self.abort("the node does not read")
            raise NotAnswered("the node does not read")
        return waiter

    def abort(self, reason: str) -> None:
        """Give the connection up, with whatever was to come on it."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer, or of something that nobody asked for."""
        if self._reader is None:
            self.abort("it answered before it was asked")
            return
        try:
            answer = self._reader.feed(data)
        except BadAnswer as error:
            self.abort(str(error))
            return
        if answer is not None:
            self._finish(answer)

    def eof_received(self) -> None:
        """The node will say no more."""
        answer = None if self._reader is None else self._reader.end()
        if answer is not None:
            self._finish(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._end("the node closed the connection" if exc is None else type(exc).__name__)

    def _finish(self, answer: HttpAnswer) -> None:
        waiter, self._waiter, self._reader = self._waiter, None, None
        if not answer.keeps_alive:
            self.abort("the node closes it")
        else:
            self.idle_since_s = asyncio.get_running_loop().time()
            self._owner.give_back(self)
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _end(self, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self._owner.forget(self)
        waiter, self._waiter, self._reader = self._waiter, None, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(NotAnswered(reason))


class NodeConnections:
    """All connections to one URL: at most `most`, of which the idle ones are used again, newest first."""

    def __init__(
        self,
        url: str,
        *,
        most: int,
        writes_at_once: bool = False,
        make_socket: MakeSocket = _plain_socket,
    ) -> None:
        parts = urlsplit(url)
        if parts.hostname is None:
            raise ValueError("the URL names no host")
        self._host, self._port = parts.hostname, parts.port or _USUAL_PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._most = most
        self._writes_at_once = writes_at_once
        self._make_socket = make_socket
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._head = _request_head(parts)

    @property
    def idle(self) -> int:
        """How many wait for a request."""
        return len(self._idle)

    def request(self, body: bytes) -> bytes:
        """A POST with this body, as one piece of bytes."""
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    def take(self) -> Connection | None:
        """An idle connection to write to now; None when there is none."""
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and now_s - connection.idle_since_s < IDLE_S:
                return connection
            connection.abort("idle for too long")
        return None

    async def acquire(self) -> Connection:
        """An idle connection, or a new one; waits while there are as many as there may be.

        Raises OSError (a timeout and a failed handshake are some).
        """
        while True:
            connection = self.take()
            if connection is not None:
                return connection
            if len(self._open) + self._opening < self._most:
                return await self._connect()
            free = asyncio.get_running_loop().create_future()
            self._waiting.append(free)
            try:
                await free
            except asyncio.CancelledError:
                if free.done():
                    self._tell_waiting()
                else:
                    self._waiting.remove(free)
                raise

    async def open_another(self) -> None:
        """Open one more and leave it idle, unless there are as many as there may be. Raises OSError."""
        if len(self._open) + self._opening < self._most:
            self.give_back(await self._connect())

    def retire(self) -> None:
        """Close the connections that have been idle for too long."""
        now_s = asyncio.get_running_loop().time()
        for connection in [each for each in self._idle if now_s - each.idle_since_s >= IDLE_S]:
            connection.abort("idle for too long")

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.abort("closed by us")

    def give_back(self, connection: Connection) -> None:
        """A connection has nothing to do."""
        if connection.is_open:
            self._idle.append(connection)
            self._tell_waiting()

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        while self._waiting:
            free = self._waiting.popleft()
            if not free.done():
                free.set_result(None)
                return

    async def _connect(self) -> Connection:
        self._opening += 1
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await self._established()
        finally:
            self._opening -= 1
        connection.idle_since_s = asyncio.get_running_loop().time()
        self._open.add(connection)
        return connection

    async def _established(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self, writes_at_once=self._writes_at_once)
        line = await self._connected()
        first: asyncio.Protocol = asyncio.Protocol() if self._tls else connection
        try:
            below, _ = await loop.create_connection(lambda: first, sock=line)
        except BaseException:
            line.close()
            raise
        try:
            # uvloop writes at the end of a turn of the loop, unless its buffer is full: then at once.
            below.set_write_buffer_limits(high=0)
            transport: asyncio.Transport = below
            if self._tls is not None:
                secured = await loop.start_tls(below, connection, self._tls, server_hostname=self._host)
                transport = cast(asyncio.Transport, secured)
                transport.set_write_buffer_limits(high=0)
        except BaseException:
            below.abort()
            raise
        connection.adopt(transport, below)
        return connection

    async def _connected(self) -> socket.socket:
        """A socket that is connected to the first of the host's addresses that answers."""
        loop = asyncio.get_running_loop()
        failure: OSError = ConnectionError("the host has no address")
        for entry in await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            line = self._make_socket(entry)
            try:
                line.setblocking(False)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.sock_connect(line, entry[4])
            except BaseException as error:
                line.close()
                if not isinstance(error, OSError) or isinstance(error, TimeoutError):
                    raise
                failure = error
            else:
                return line
        raise failure


def _request_head(url: SplitResult) -> bytes:
    """Everything of a POST up to the number of bytes that it carries."""
    host = (url.hostname or "").encode("idna").decode()
    if ":" in host:
        host = f"[{host}]"
    if url.port not in (None, _USUAL_PORTS[url.scheme]):
        host = f"{host}:{url.port}"
    query = f"?{url.query}" if url.query else ""
    lines = [
        f"POST {quote(url.path or '/', _PLAIN)}{quote(query, _PLAIN)} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: liquidation-engine",
        "Accept: application/json",
        "Content-Type: application/json",
    ]
    if url.username is not None:
        credentials = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
        lines.append(f"Authorization: Basic {base64.b64encode(credentials).decode()}")
    return "\r\n".join([*lines, "Content-Length: "]).encode()


def _retrieve(waiter: asyncio.Future[HttpAnswer]) -> None:
    """Look at the exception: a sender that gave up must not make the loop report it as never seen."""
    if not waiter.cancelled():
        waiter.exception()
