"""A tap on a connection: it passes bytes on, notes when transactions arrive, and can turn into a black hole.

The kernel says when bytes arrived, so that a busy machine, on which the tap itself comes late, does not make
the engine look slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from engine.own_loop import OwnLoop

_CHUNK = 256 * 1024
_MARK = b"sendTransaction"
_KEPT = 200_000  # arrivals; the oldest go first
_BACKLOG = 256
_SO_TIMESTAMPNS: Final = 35  # of Linux; the socket module has no name for it
_TIMESPEC = struct.Struct("qq")


class Tap:
    """Stands before the host and port of a URL, or the unix socket of a PostgreSQL URL.

    An async context manager; `url` is where to connect instead. Times are Unix times in nanoseconds.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._query = {name: values[0] for name, values in parse_qs(self._parts.query).items()}
        self._own = OwnLoop("tap")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._flows = True
        self._tasks: set[asyncio.Task[None]] = set()
        self.arrivals: deque[int] = deque(maxlen=_KEPT)
        user, at, _ = self._parts.netloc.rpartition("@")
        query = urlencode(
            {name: value for name, value in self._query.items() if name not in ("host", "port")}
        )
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{port}", query=query))

    async def __aenter__(self) -> Self:
        self._listener.setblocking(False)
        await self._own.__aenter__()
        await self._own.run(self._begin())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._own.run(self._end_all())
        await self._own.__aexit__(kind, error, trace)
        self._listener.close()

    @property
    def last_ns(self) -> int:
        """When the last bytes arrived on a connection that carries transactions, 0: never."""
        return max(list(self.arrivals)[-_BACKLOG:], default=0)

    def count_after(self, at_ns: int) -> int:
        """How many pieces of transactions arrived after this."""
        return sum(1 for arrived_ns in list(self.arrivals) if arrived_ns > at_ns)

    async def swallow(self) -> None:
        """From now on take what comes, note it, and give nothing back, on old and new connections."""
        self._flows = False

    async def flow(self) -> None:
        """Pass everything on again; what was swallowed is lost, so its connections end."""
        await self._own.run(self._end_all())
        self._flows = True
        await self._own.run(self._begin())

    async def _begin(self) -> None:
        self._spawn(self._accept())

    async def _end_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            near.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            near.setblocking(False)
            self._spawn(self._serve(near))

    async def _serve(self, near: socket.socket) -> None:
        """One connection, until either side ends it."""
        far: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            with near, contextlib.suppress(OSError):
                if self._flows:
                    answers, far = await self._connect()
                    back = asyncio.ensure_future(self._carry_back(answers, near))
                await self._carry(near, far)
        finally:
            if back is not None:
                back.cancel()
            if far is not None:
                far.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder = self._query.get("host")
        if folder is None:
            return await asyncio.open_connection(self._parts.hostname, self._parts.port, limit=_CHUNK)
        port = self._query.get("port", "5432")
        return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}", limit=_CHUNK)

    async def _carry(self, near: socket.socket, far: asyncio.StreamWriter | None) -> None:
        carries_transactions = False
        while True:
            await _readable(near)
            data, told, _, _ = near.recvmsg(_CHUNK, socket.CMSG_SPACE(_TIMESPEC.size))
            if not data:
                return
            carries_transactions = carries_transactions or _MARK in data
            if carries_transactions:
                self.arrivals.append(_arrived_ns(told))
            if far is not None and self._flows:
                far.write(data)
                await far.drain()

    async def _carry_back(self, answers: asyncio.StreamReader, near: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await answers.read(_CHUNK):
                if self._flows:
                    await loop.sock_sendall(near, data)
            near.shutdown(socket.SHUT_RDWR)


async def _readable(near: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(near, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(near)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _arrived_ns(told: list[tuple[int, int, bytes]]) -> int:
    """When the kernel had the bytes; now, where it does not say."""
    for level, kind, data in told:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds * 10**9 + nanoseconds)
    return time.time_ns()
