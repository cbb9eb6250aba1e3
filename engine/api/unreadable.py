"""Requests that are no HTTP: refused like all others, and not repeated in the log: they may hold a token."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from engine.api.refusals import refused


class RequestReader(web.RequestHandler):
    """The library's protocol of one connection, but for what it says of a request that it cannot read."""

    __slots__ = ()

    @property
    def is_idle(self) -> bool:
        """Whether every request that was read is answered, and the next one waited for."""
        return self._waiter is not None and not self._waiter.done() and not self._messages

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to it; faults of ours go the library's way, into the log."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        answer = refused(status, "bad_request", "This is no HTTP that can be read: look at its lines")
        answer.force_close()
        return answer
