"""Bounds what connections cost: how many there are, how soon they are answered, how long a request may take.

It stands between the sockets and the HTTP server, which knows neither bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from engine.api.pace import LONGEST_WAIT_S, Pace

REQUEST_DEADLINE_S = 10.0  # for all headers of a request, from the connection or its first byte on
READ_DEADLINE_S = 30.0  # for a reader to take what fills the socket's buffers
_STOP = "/admin/emergency-stop"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b'Content-Length: 99\r\n\r\n{"error":{"code":"too_many_connections","message":'
    b'"Too many connections: close some","details":{}}}'
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connections:
    """The connections of one listener.

    With a pace their requests but a stop take turns; with one for arrivals each new connection is heard in
    its turn, and after LONGEST_WAIT_S in any case: a stop may come by it.
    """

    def __init__(self, most: int, pace: Pace | None = None, arrivals: Pace | None = None) -> None:
        self.most = most
        self._pace = pace
        self._arrivals = arrivals
        self._open: dict[asyncio.BaseTransport, _Guarded] = {}

    def __len__(self) -> int:
        return len(self._open)

    def guarded(self, make: Callable[[], asyncio.BaseProtocol]) -> Callable[[], asyncio.Protocol]:
        """The same factory of protocols, within the bounds."""
        return lambda: _Guarded(cast(asyncio.Protocol, make()), self._open, self.most, self._arrivals)

    def middleware(self) -> Middleware:
        """Tells the guard of a connection when a request has come, and when it is answered."""

        @web.middleware
        async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
            transport = request.transport
            guard = None if transport is None else self._open.get(transport)
            if guard is None:
                return await handler(request)
            guard.request_came()
            try:
                if self._pace is not None and request.path != _STOP:
                    await self._pace.turn()
                return await handler(request)
            finally:
                guard.request_done()

        return follow


class _Guarded(asyncio.Protocol):
    """One connection: hands everything on, and ends it when a deadline is over."""

    def __init__(
        self,
        inner: asyncio.Protocol,
        is_open: dict[asyncio.BaseTransport, _Guarded],
        most: int,
        arrivals: Pace | None,
    ) -> None:
        self._inner = inner
        self._arrivals = arrivals
        self._open = is_open
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._is_asking = False
        self._deadline: asyncio.TimerHandle | None = None
        self._read_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or say that there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._open) >= self._most:
            self._transport.write(_FULL)
            self._transport.close()
            return
        self._open[transport] = self
        self._expect_request()
        self._inner.connection_made(transport)
        wait_s = self._arrivals.next_in_s(LONGEST_WAIT_S) if self._arrivals is not None else 0.0
        if wait_s:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(wait_s, self._hear)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request; from the first one on it must come to its end."""
        if self._transport not in self._open:
            return
        if not self._is_asking and self._deadline is None:
            self._expect_request()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The peer has said everything."""
        return self._inner.eof_received() if self._transport in self._open else None

    def pause_writing(self) -> None:
        """The peer does not read: it has some time to."""
        loop = asyncio.get_running_loop()
        self._read_deadline = self._read_deadline or loop.call_later(READ_DEADLINE_S, self._end)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """It reads."""
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        for deadline in (self._deadline, self._read_deadline):
            if deadline is not None:
                deadline.cancel()
        if self._transport is not None and self._open.pop(self._transport, None) is not None:
            self._inner.connection_lost(exc)

    def request_came(self) -> None:
        """All headers are there."""
        self._is_asking = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def request_done(self) -> None:
        """The answer is on its way; the next request may take as long as it likes to begin."""
        self._is_asking = False

    def _expect_request(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_DEADLINE_S, self._end)

    def _hear(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
