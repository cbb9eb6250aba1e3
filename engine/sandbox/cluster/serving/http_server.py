"""The node's HTTP side: JSON-RPC by POST, /health by GET, and the limits on a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import structlog
from aiohttp import web

from engine.sandbox.cluster.rpc.jsonrpc import Dispatcher
from engine.sandbox.cluster.serving.interference import Interference

log = structlog.get_logger("cluster")

MAX_BODY_BYTES = 50 * 1024
BODY_DEADLINE_S = 20.0
# Longer answers leave in slices, while they are made.
STREAM_ABOVE_BYTES = 256 * 1024
WRITE_DEADLINE_S = 30.0
_WRITE_BUFFER_BYTES = 1024 * 1024
_JSON = "application/json"
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_ANSWER = {**_ANY_ORIGIN, "Content-Type": "application/json; charset=utf-8"}
_PREFLIGHT = {
    **_ANY_ORIGIN,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


class HttpService:
    """Answers HTTP requests of any client; browsers of any origin may ask, as with a real node.

    `health` is what GET /health says: ok, behind or unknown.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        interference: Interference,
        health: Callable[[], str],
        *,
        body_deadline_s: float = BODY_DEADLINE_S,
        write_deadline_s: float = WRITE_DEADLINE_S,
    ) -> None:
        self._dispatcher = dispatcher
        self._interference = interference
        self._health = health
        self._body_deadline_s = body_deadline_s
        self._write_deadline_s = write_deadline_s

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        try:
            if request.method == "POST":
                return await self._post(request)
            if request.method == "OPTIONS":
                return web.Response(status=200, headers=_PREFLIGHT)
            if request.method == "GET" and request.path == "/health":
                return web.Response(text=self._health(), headers=_ANY_ORIGIN)
        except (OSError, TimeoutError, asyncio.CancelledError):
            raise
        except Exception:
            # A fault of this node must not show its insides to callers.
            log.exception("request failed")
            return web.Response(status=500, text="Internal Server Error")
        return _refusal(405, "Used HTTP Method is not allowed. POST or OPTIONS is required\n")

    async def _post(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Content-Type") != _JSON and request.content_type != _JSON:
            return _refusal(
                415, "Supplied content type is not allowed. Content-Type: application/json is required\n"
            )
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _too_large()
        body = await self._body(request)
        if isinstance(body, web.Response):
            return body
        call = self._dispatcher.read(body)
        if not call.well_formed and (place := _utf8_fault(body)) is not None:
            return web.Response(status=400, text=f"utf-8 encoding error at byte {place} in request body")

        under_way: web.StreamResponse | None = None

        async def respond() -> web.StreamResponse:
            nonlocal under_way
            pieces = self._dispatcher.answer(call)
            if under_way is not None:
                # Made a second time; a connection can carry only the answer that is on it already.
                for _ in pieces:
                    await asyncio.sleep(0)
                return under_way
            response = await self._write(request, pieces)
            under_way = response if response.prepared else None
            return response

        return await self._interference.around(request, call.methods, respond)

    async def _body(self, request: web.BaseRequest) -> bytes | web.Response:
        """The request's body, or the refusal of one that is too long, too slow or broken."""
        try:
            if request.content.is_eof():
                body = request.content.read_nowait()
            else:
                async with asyncio.timeout(self._body_deadline_s):
                    body = await _read_until_too_long(request)
        except TimeoutError:
            return _refusal(408, "Request Timeout\n")
        except web.RequestPayloadError:
            return _refusal(400, "Bad Request\n")
        return body if len(body) <= MAX_BODY_BYTES else _too_large()

    async def _write(self, request: web.BaseRequest, pieces: Iterator[bytes]) -> web.StreamResponse:
        """The response of these pieces; a long one is on its way when this returns."""
        begun: list[bytes] = []
        size = 0
        for piece in pieces:
            if not piece:
                await asyncio.sleep(0)
                continue
            begun.append(piece)
            size += len(piece)
            if size > STREAM_ABOVE_BYTES:
                return await self._stream(request, b"".join(begun), pieces)
        if begun:
            begun.append(b"\n")
        return web.Response(body=b"".join(begun), headers=_ANSWER)

    async def _stream(
        self, request: web.BaseRequest, begun: bytes, pieces: Iterator[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_ANSWER)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        # Room for what is made while the client reads.
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        try:
            await response.prepare(request)
            await self._write_piece(response, begun)
            for piece in pieces:
                if piece:
                    await self._write_piece(response, piece)
                await asyncio.sleep(0)
            await self._write_piece(response, b"\n")
            await response.write_eof()
        except TimeoutError:
            log.warning("client reads too slowly: cut off")
            transport.abort()
            raise ConnectionResetError from None
        except (OSError, asyncio.CancelledError):
            raise
        except Exception:
            # The answer has begun: all that can still be said is that it is not whole.
            log.exception("answer broke off")
            transport.abort()
            raise ConnectionResetError from None
        return response

    async def _write_piece(self, response: web.StreamResponse, piece: bytes) -> None:
        async with asyncio.timeout(self._write_deadline_s):
            await response.write(piece)


async def _read_until_too_long(request: web.BaseRequest) -> bytes:
    """The body, or of one that is too long a little more than the limit."""
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.content.iter_any():
        chunks.append(chunk)
        length += len(chunk)
        if length > MAX_BODY_BYTES:
            break
    return b"".join(chunks)


def _utf8_fault(body: bytes) -> int | None:
    """Where a body ceases to be UTF-8; None when it is UTF-8 throughout."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _too_large() -> web.Response:
    return _refusal(413, "request body size exceeds allowed maximum")


def _refusal(status: int, text: str) -> web.Response:
    # The body, or the rest of it, is not read: the connection cannot be used again.
    response = web.Response(status=status, text=text)
    response.force_close()
    return response
