"""Server-sent events: one stream per client, fed at each publication, cut when its client does not read."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from aiohttp import web

from engine.sandbox.hermes.queries import UpdateQuery

KEEP_ALIVE_S = 15.0
LONGEST_STREAM_S = 24 * 3600.0  # as the real service: clients have to come back
MAX_UNSENT_EVENTS = 256
_KEEP_ALIVE = b":\n\n"
_END = b"event:error\ndata:Connection timeout reached (24h)\n\n"

log = structlog.get_logger("hermes")


class Stream:
    """One client's stream, from its first event to its last."""

    def __init__(self, query: UpdateQuery, request: web.BaseRequest) -> None:
        self.query = query
        self._request = request
        self._events: asyncio.Queue[bytes] = asyncio.Queue(MAX_UNSENT_EVENTS)
        self._loop = asyncio.get_running_loop()
        self.started_s = self._loop.time()

    def tell(self, body: bytes) -> None:
        """Send one event without waiting; a client that leaves too many unread is cut off."""
        try:
            self._events.put_nowait(b"data:%b\n\n" % body)
        except asyncio.QueueFull:
            log.warning("client reads too slowly: dropped", unsent_events=MAX_UNSENT_EVENTS)
            self.cut()

    def cut(self) -> None:
        """End the connection at once, without a word."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(self, longest_s: float) -> web.StreamResponse:
        """Serve the stream until the client goes, it is cut, or `longest_s` is over."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "Access-Control-Allow-Origin": "*",
            }
        )
        end_s = self.started_s + longest_s
        with contextlib.suppress(ConnectionError):
            await response.prepare(self._request)
            while (left_s := end_s - self._loop.time()) > 0:
                await response.write(await self._next(min(KEEP_ALIVE_S, left_s)))
            await response.write(_END)
            await response.write_eof()
        return response

    async def _next(self, at_most_s: float) -> bytes:
        try:
            async with asyncio.timeout(at_most_s):
                return await self._events.get()
        except TimeoutError:
            return _KEEP_ALIVE
