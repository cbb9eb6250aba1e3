"""The node's HTTP side: JSON-RPC by POST, /health by GET, and the limits on a request."""

from __future__ import annotations

from aiohttp import web

from engine.sandbox.cluster.interference import Interference
from engine.sandbox.cluster.jsonrpc import Dispatcher

MAX_BODY_BYTES = 50 * 1024
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT = {
    **_ANY_ORIGIN,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


class HttpService:
    """Answers HTTP requests of any client; browsers of any origin may ask, as with a real node."""

    def __init__(self, dispatcher: Dispatcher, interference: Interference) -> None:
        self._dispatcher = dispatcher
        self._interference = interference

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        if request.method == "POST":
            return await self._post(request)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=_PREFLIGHT)
        if request.method == "GET" and request.path == "/health":
            return web.Response(text="ok", headers=_ANY_ORIGIN)
        return web.Response(status=405, text="Used HTTP Method is not allowed. POST or OPTIONS is required\n")

    async def _post(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.content_type != "application/json":
            return web.Response(
                status=415,
                text="Supplied content type is not allowed. Content-Type: application/json is required\n",
            )
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _too_large()
        body = await _body_within_limit(request)
        if body is None:
            return _too_large()
        call = self._dispatcher.read(body)

        async def respond() -> web.StreamResponse:
            response = self._dispatcher.answer(call)
            return web.Response(
                body=response if response is not None else b"",
                content_type="application/json",
                charset="utf-8",
                headers=_ANY_ORIGIN,
            )

        return await self._interference.around(request, call.methods, respond)


async def _body_within_limit(request: web.BaseRequest) -> bytes | None:
    """The body, or None when it is too long (chunked bodies do not say so beforehand)."""
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.content.iter_any():
        length += len(chunk)
        if length > MAX_BODY_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> web.Response:
    # The rest of the body is not read, so the connection cannot be used again.
    response = web.Response(status=413, text="Payload Too Large\n")
    response.force_close()
    return response
