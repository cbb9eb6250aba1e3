"""The running service: its port, its key, its endpoints, and the moments at which it publishes."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
from aiohttp import web

from engine.errors import AddressInUse
from engine.sandbox.cluster.serving.interference import HttpInterference, NoInterference
from engine.sandbox.hermes.conditions import HermesConditions
from engine.sandbox.hermes.publication import Publication
from engine.sandbox.hermes.queries import (
    QueryRefused,
    UpdateQuery,
    parse_asset_type,
    parse_search,
    parse_update_query,
)
from engine.sandbox.hermes.source import PriceSource
from engine.sandbox.hermes.streams import LONGEST_STREAM_S, Stream
from engine.sandbox.hermes.updates import feeds_body, update_body

DEFAULT_HERMES_PORT = 0
MAX_STREAMS = 1_000
CLOSE_DEADLINE_S = 1.0
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}

log = structlog.get_logger("hermes")
Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HermesServer:
    """A Hermes that answers on its URL until it is closed; `conditions` may be replaced at any time."""

    def __init__(
        self, source: PriceSource, key: str | None, longest_stream_s: float, interference: HttpInterference
    ) -> None:
        self.conditions = HermesConditions()
        self.url = ""
        self._publication = Publication(source)
        self._key = key
        self._interference = interference
        self._longest_stream_s = longest_stream_s
        self._streams: set[Stream] = set()
        self._runner: web.ServerRunner | None = None
        self._routes: dict[str, Handler] = {
            "/live": self._live,
            "/v2/updates/price/stream": self._stream,
            "/v2/updates/price/latest": self._latest,
            "/v2/price_feeds": self._feeds,
        }

    @property
    def streams(self) -> int:
        """How many clients have a stream open."""
        return len(self._streams)

    async def start(self, host: str, port: int) -> None:
        """Listen; raises AddressInUse."""
        try:
            listener = socket.create_server((host, port))
        except OSError as error:
            raise AddressInUse(
                f"Address already in use: {host}:{port}: choose another with --hermes-port"
            ) from error
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=CLOSE_DEADLINE_S
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self.url = f"http://{host}:{listener.getsockname()[1]}"

    async def close(self) -> None:
        """End every stream and the server."""
        self.cut_streams()
        if self._runner is not None:
            await self._runner.cleanup()

    def publish(self) -> None:
        """Take down what the publishers say now and tell every stream what changed, as far as we tell."""
        self._publication.take_down()
        conditions = self.conditions
        if conditions.stream_s is not None:
            self._cut_older_than(conditions.stream_s)
        if conditions.silent or not self._streams:
            return
        quotes = self._publication.quotes(conditions)
        bodies: dict[UpdateQuery, bytes | None] = {}
        for stream in list(self._streams):
            if stream.query not in bodies:
                bodies[stream.query] = update_body(quotes, stream.query)
            body = bodies[stream.query]
            if body is not None:
                stream.tell(body)

    def cut_streams(self) -> int:
        """End every stream without a word; returns how many there were."""
        streams = list(self._streams)
        for stream in streams:
            stream.cut()
        return len(streams)

    def _cut_older_than(self, age_s: float) -> None:
        oldest_s = asyncio.get_running_loop().time() - age_s
        for stream in [each for each in self._streams if each.started_s < oldest_s]:
            stream.cut()

    # --- requests ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._interference.around(request, [request.path], lambda: self._respond(request))

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._admits(request):
            return web.Response(status=401, text="Unauthorized", headers=_ANY_ORIGIN)
        route = self._routes.get(request.path)
        if route is None:
            return web.Response(status=404)
        if request.method != "GET":
            return web.Response(status=405, headers={"Allow": "GET,HEAD"})
        try:
            return await route(request)
        except QueryRefused as refusal:
            return web.Response(status=refusal.status, text=refusal.text, headers=_ANY_ORIGIN)

    def _admits(self, request: web.BaseRequest) -> bool:
        if self._key is None:
            return True
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(errors="replace"), f"Bearer {self._key}".encode())

    async def _live(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="OK", headers=_ANY_ORIGIN)

    async def _feeds(self, request: web.BaseRequest) -> web.StreamResponse:
        query = list(request.query.items())
        return _json(feeds_body(parse_search(query), parse_asset_type(query)))

    async def _latest(self, request: web.BaseRequest) -> web.StreamResponse:
        query = parse_update_query(list(request.query.items()), self._publication.feed_ids)
        body = update_body(self._publication.quotes(self.conditions), query)
        if body is None:
            raise QueryRefused(404, "Update data not found")
        return _json(body)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        query = parse_update_query(list(request.query.items()), self._publication.feed_ids)
        if len(self._streams) >= MAX_STREAMS:
            raise QueryRefused(503, f"All {MAX_STREAMS} streams are taken")
        stream = Stream(query, request)
        self._streams.add(stream)
        try:
            return await stream.run(self._longest_stream_s)
        finally:
            self._streams.discard(stream)


async def serve_hermes(
    source: PriceSource,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_HERMES_PORT,
    key: str | None = None,
    longest_stream_s: float = LONGEST_STREAM_S,
    interference: HttpInterference | None = None,
) -> HermesServer:
    """Serve the publishers' prices in the running loop; `publish` tells the streams, once a slot.

    With a `key`, requests without it as bearer token get 401. What interferes is asked with the request's
    path in place of a method. Raises AddressInUse.
    """
    server = HermesServer(source, key, longest_stream_s, interference or NoInterference())
    await server.start(host, port)
    return server


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", headers=_ANY_ORIGIN)
