"""The connections of one port: how many there may be, and how long one may hold its place without moving."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NoReturn

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

log = structlog.get_logger("cluster")

MAX_CONNECTIONS = 4_096
# A node reads more than any client sends: cookies of a browser on localhost are the longest seen.
MAX_HEADER_BYTES = 64 * 1024
IDLE_DEADLINE_S = 120.0
STUCK_DEADLINE_S = 30.0
LINGER_S = 1.0  # of a body that was answered before its end, what still comes is read and forgotten so long

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# What aiohttp has to say of a client's mistakes, the client is told; it is no news to an operator.
_quiet = logging.getLogger("cluster.http")
_quiet.disabled = True


class Connections(web.Server):
    """Speaks HTTP on a port's connections, and passes each request to `handler`.

    Over `most` connections, a new one is closed at once. One that sends no whole request head for
    `idle_deadline_s`, or takes nothing of what waits for it for `stuck_deadline_s`, is cut off.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        most: int = MAX_CONNECTIONS,
        idle_deadline_s: float = IDLE_DEADLINE_S,
        stuck_deadline_s: float = STUCK_DEADLINE_S,
    ) -> None:
        super().__init__(handler)
        self._settings: dict[str, Any] = {
            "access_log": None,
            "logger": _quiet,
            "keepalive_timeout": idle_deadline_s,
            "lingering_time": LINGER_S,
            "max_line_size": MAX_HEADER_BYTES,
            "max_field_size": MAX_HEADER_BYTES,
            "auto_decompress": False,
        }
        self._most = most
        self._stuck_deadline_s = stuck_deadline_s
        self._watch: asyncio.Task[NoReturn] | None = None
        self.refused = 0
        self.cut_off = 0

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **self._settings)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Let a connection in, if there is room."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._most:
            self.refused += 1
            transport.abort()
        elif self._watch is None:
            self._watch = asyncio.create_task(self._cut_off_stuck(), name="stuck connections")

    def pre_shutdown(self) -> None:
        """End what only serves going on."""
        if self._watch is not None:
            self._watch.cancel()
        super().pre_shutdown()

    async def _cut_off_stuck(self) -> NoReturn:
        """Twice in a deadline, look who has left the same bytes unread since the last look but one."""
        unread: dict[web.RequestHandler, tuple[int, int]] = {}
        while True:
            await asyncio.sleep(self._stuck_deadline_s / 2)
            seen: dict[web.RequestHandler, tuple[int, int]] = {}
            for connection in self.connections:
                transport = connection.transport
                waiting = 0 if transport is None else transport.get_write_buffer_size()
                if not waiting or transport is None:
                    continue
                before, times = unread.get(connection, (0, 0))
                seen[connection] = (waiting, times + 1 if waiting == before else 0)
                if seen[connection][1] >= 2:
                    self.cut_off += 1
                    log.warning("client reads nothing: cut off", unread_bytes=waiting)
                    transport.abort()
            unread = seen


class _Connection(web.RequestHandler):
    """One connection; refuses a request head that is too long as a node does."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What a client gets whose request is no HTTP; the connection ends with it."""
        if isinstance(exc, LineTooLong):
            status, message = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, ""
        return super().handle_error(request, status, exc, message)
