"""Bounds what connections cost: how many there are, how soon they are answered, how long a request may take.

It stands between the sockets and the HTTP server, which knows neither bound. Where requests take turns, one
that only reads waits for its turn before anything is done with its bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from engine.api.pace import Pace
from engine.api.repeats import Repeats, is_whole
from engine.api.unreadable import RequestReader

REQUEST_DEADLINE_S = 10.0  # for all headers of a request, from the connection or its first byte on
READ_DEADLINE_S = 30.0  # for a reader to take what fills the socket's buffers
LONGEST_LINE = 8192  # of a head; more is handed on for the server to refuse
LONGEST_HELD = 65_536  # of what comes behind a request that waits for its turn
UNREAD_S = 30.0  # since a request of the connection was read; the server ends one that is idle for longer
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
    its turn, and after the pace's LONGEST_WAIT_S in any case: a stop may come by it. With a pace, a request
    that is the same as one before has its answer while that is fresh.
    """

    def __init__(self, most: int, pace: Pace | None = None, arrivals: Pace | None = None) -> None:
        self.most = most
        self._pace = pace
        self._arrivals = arrivals
        self._repeats = Repeats()
        self._open: dict[asyncio.BaseTransport, _Guarded] = {}

    def __len__(self) -> int:
        return len(self._open)

    def guarded(self, make: Callable[[], RequestReader]) -> Callable[[], asyncio.Protocol]:
        """The same factory of protocols, within the bounds."""
        return lambda: _Guarded(make(), self._open, self.most, self._arrivals, self._door())

    def _door(self) -> _Door | None:
        return None if self._pace is None else _Door(self._pace, self._repeats)

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
                if self._pace is not None and not guard.had_turn and request.path != _STOP:
                    await self._pace.turn()
                response = await handler(request)
                if guard.asked:
                    self._repeats.note(guard.asked, request, response)
                return response
            finally:
                guard.request_done()

        return follow


@dataclass(frozen=True, slots=True)
class _Door:
    """Where requests that only read wait for their turn, and some are answered."""

    pace: Pace
    repeats: Repeats


class _Guarded(asyncio.Protocol):
    """One connection: hands everything on, and ends it when a deadline is over."""

    def __init__(
        self,
        inner: RequestReader,
        is_open: dict[asyncio.BaseTransport, _Guarded],
        most: int,
        arrivals: Pace | None,
        door: _Door | None,
    ) -> None:
        self._inner = inner
        self._arrivals = arrivals
        self._door = door
        self._open = is_open
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._is_asking = False
        self._is_begun = False  # a request of which the server has some
        self._held = b""  # what the server does not have yet
        self._waits = False  # for a turn
        self._is_paused = False
        self.had_turn = False  # the request that the server has
        self.asked = b""  # all of it, if it came whole and had its turn
        self._was_plain = True  # each request so far came whole and alone: the server has no rest of one
        self._read_at_s = 0.0
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
        self._read_at_s = asyncio.get_running_loop().time()
        self._expect_request()
        self._inner.connection_made(transport)
        if self._arrivals is not None and self._arrivals.put_off(self._hear):
            # Not now: the loop of Python 3.11.2 begins to read after this call, whatever it was told in it.
            asyncio.get_running_loop().call_soon(self._transport.pause_reading)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request; from the first one on it must come to its end."""
        if self._transport not in self._open:
            return
        if not self._is_asking and self._deadline is None:
            self._expect_request()
        self._held += data
        if self._waits:
            if len(self._held) > LONGEST_HELD:
                self._end()
        elif self._door is not None and not self._is_begun and data.startswith(b"GET "):
            self._wait_for(self._door)
        # A head goes on line by line: who whispers it would have each byte looked at.
        elif self._is_asking or not self._is_begun or b"\n" in data or len(self._held) > LONGEST_LINE:
            self._was_plain = False
            self._hand_on()

    def eof_received(self) -> None:
        """The peer has said everything."""
        if self._transport in self._open:
            self._was_plain = False
            self._hand_on()
            self._inner.eof_received()

    def _wait_for(self, door: _Door) -> None:
        self._waits = True
        door.pace.take(self._come_in)
        if self._waits and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _come_in(self) -> None:
        """It is this connection's turn."""
        waited, self._waits = self._waits, False
        if not waited or self._transport not in self._open or self._transport.is_closing():
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if not self._held:
            return
        answer = self._again()
        if answer is not None:
            self._held = b""
            self._forget_deadline()
            self._transport.write(answer)
            return
        self._was_plain = self._was_plain and is_whole(self._held)
        self.had_turn, self.asked = True, self._held if self._was_plain else b""
        self._hand_on()

    def _again(self) -> bytes | None:
        """The answer to what is held, if it can be had without the server, which knows nothing of it then."""
        now_s = asyncio.get_running_loop().time()
        if self._door is None or not self._was_plain or now_s - self._read_at_s > UNREAD_S:
            return None
        if self._read_deadline is not None:
            return None  # the server waits for the peer to read
        return self._door.repeats.answer(self._held) if self._inner.is_idle else None

    def _hand_on(self) -> None:
        data, self._held = self._held, b""
        if data:
            self._is_begun = True
            self._inner.data_received(data)

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
        self._read_at_s = asyncio.get_running_loop().time()
        self._forget_deadline()
        if not self._waits:
            self._hand_on()  # what came of its body meanwhile

    def request_done(self) -> None:
        """The answer is on its way; the next request may take as long as it likes to begin."""
        self._is_asking = self._is_begun = self.had_turn = False
        self.asked = b""

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expect_request(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_DEADLINE_S, self._end)

    def _hear(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
