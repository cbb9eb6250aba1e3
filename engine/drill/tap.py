"""A tap on a connection: it passes bytes on, notes when transactions arrive, and can turn into a black hole.

What it notes is what a node would see. It runs in a thread of its own, so that it notes at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from engine.own_loop import OwnLoop

_CHUNK = 256 * 1024
_MARK = b"sendTransaction"
_KEPT = 200_000  # arrivals; the oldest go first


class Tap:
    """Stands before the host and port of a URL, or the unix socket of a PostgreSQL URL.

    An async context manager; `url` is where to connect instead.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._parts = parts
        self._folder = next(iter(parse_qs(parts.query).get("host", [])), None)  # of a PostgreSQL's socket
        self._own = OwnLoop("tap")
        self._server: asyncio.Server | None = None
        self._flows: asyncio.Event = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.Task[None]] = set()
        self.arrivals: deque[int] = deque(maxlen=_KEPT)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._own.__aenter__()
        await self._own.run(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._own.run(self._close())
        await self._own.__aexit__(kind, error, trace)

    @property
    def last_ns(self) -> int:
        """When the last bytes arrived on a connection that carries transactions; monotonic, 0: never."""
        return self.arrivals[-1] if self.arrivals else 0

    def count_after(self, at_ns: int) -> int:
        """How many pieces of transactions arrived after this."""
        return sum(1 for arrived_ns in list(self.arrivals) if arrived_ns > at_ns)

    async def swallow(self) -> None:
        """From now on take what comes, note it, and give nothing back, on old and new connections."""
        await self._own.run(self._set_flow(flows=False))

    async def flow(self) -> None:
        """Pass everything on again; what was swallowed is lost, so its connections end."""
        await self._own.run(self._set_flow(flows=True))

    async def _set_flow(self, *, flows: bool) -> None:
        if not flows:
            self._flows.clear()
            return
        self._flows.set()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._parts.netloc.rpartition("@")
        query = {name: values[0] for name, values in parse_qs(self._parts.query).items()}
        for name in ("host", "port"):
            query.pop(name, None)
        netloc = f"{user}{at}127.0.0.1:{port}"
        self.url = urlunsplit(self._parts._replace(netloc=netloc, query=urlencode(query)))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._folder is None:
            return await asyncio.open_connection(self._parts.hostname, self._parts.port, limit=_CHUNK)
        port = next(iter(parse_qs(self._parts.query).get("port", [])), "5432")
        return await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.{port}", limit=_CHUNK)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            if self._flows.is_set():
                answers, far = await self._connect()
                back = asyncio.create_task(self._carry(answers, writer))
                try:
                    await self._carry(reader, far, is_noted=True)
                finally:
                    back.cancel()
            else:
                await self._carry(reader, None, is_noted=True)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._open.discard(task)
            for each in (writer, far):
                if each is not None:
                    each.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, *, is_noted: bool = False
    ) -> None:
        carries_transactions = False
        while data := await reader.read(_CHUNK):
            if is_noted:
                carries_transactions = carries_transactions or _MARK in data
                if carries_transactions:
                    self.arrivals.append(time.monotonic_ns())
            if writer is not None and self._flows.is_set():
                writer.write(data)
                await writer.drain()
