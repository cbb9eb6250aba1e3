"""Trouble with HTTP calls: late, lost, repeated, refused or never answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from engine.sandbox.cluster.serving.interference import Respond
from engine.sandbox.market.seeds import generator
from engine.sandbox.trouble.chance import latency_s, which
from engine.sandbox.trouble.settings import CallTrouble, HttpTrouble

OWN_PREFIX = "sandbox"
MOST_UNANSWERED = 1_000
_GONE_POLL_S = 0.05
_TOO_MANY = b'{"jsonrpc":"2.0","error":{"code":429,"message":"Too many requests"},"id":null}'
_ERROR_TEXTS = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Calls:
    """Stands around every call of one server. What it did is counted in `counters`, by kind.

    The sandbox's own methods are never met, so that trouble can always be ended. A batch is met as its first
    call is.
    """

    def __init__(self, name: str, counters: Counter[str]) -> None:
        self._name = name
        self._counters = counters
        self._unanswered = 0
        self.set(HttpTrouble(), seed=0)

    def set(self, settings: HttpTrouble, seed: int) -> None:
        """Follow these settings from the next call on; their draws begin anew."""
        self._settings = settings
        self._rng = generator(seed, f"{self._name} calls")
        self._rates: dict[str | None, _Rate] = {}

    async def around(
        self, request: web.BaseRequest, methods: Sequence[str], respond: Respond
    ) -> web.StreamResponse:
        """Answer a call, or do not."""
        if any(method.startswith(OWN_PREFIX) for method in methods):
            return await respond()
        method = methods[0] if methods else None
        trouble = self._settings.of(method)
        way_s = latency_s(trouble.latency, self._rng) / 2
        met = self._drawn(trouble, method)
        if way_s > 0:
            self._count("delayed")
            await asyncio.sleep(way_s)
        if met is not None:
            self._count(met)
        answer = await self._answer(met, trouble, request, respond)
        if way_s > 0:
            await asyncio.sleep(way_s)
        return answer

    def _drawn(self, trouble: CallTrouble, method: str | None) -> str | None:
        met = which(
            self._rng.random(),
            {
                "dropped": trouble.drop_share,
                "repeated": trouble.repeat_share,
                "rate_limited": trouble.rate_limit_share,
                "refused": trouble.error_share,
                "unanswered": trouble.black_hole_share,
            },
        )
        if met is None and trouble.calls_per_s is not None:
            key = method if method in self._settings.methods else None
            rate = self._rates.setdefault(key, _Rate(trouble.calls_per_s))
            return None if rate.admits(asyncio.get_running_loop().time()) else "rate_limited"
        return met

    async def _answer(
        self, met: str | None, trouble: CallTrouble, request: web.BaseRequest, respond: Respond
    ) -> web.StreamResponse:
        if met == "rate_limited":
            return web.Response(
                status=429,
                body=_TOO_MANY,
                content_type="application/json",
                headers={"Retry-After": str(trouble.retry_after_s)},
            )
        if met == "refused":
            return web.Response(status=trouble.error_status, text=f"{_ERROR_TEXTS[trouble.error_status]}\n")
        if met == "unanswered":
            return await self._never(request)
        if met in ("dropped", "repeated"):
            await respond()
        if met == "dropped":
            return _cut(request)
        return await respond()

    async def _never(self, request: web.BaseRequest) -> web.StreamResponse:
        """Say nothing until the client is gone."""
        if self._unanswered >= MOST_UNANSWERED:
            return _cut(request)
        self._unanswered += 1
        try:
            # Nothing tells a handler that its client has gone.
            while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(_GONE_POLL_S)
        finally:
            self._unanswered -= 1
        return _cut(request)

    def _count(self, what: str) -> None:
        self._counters[f"{self._name}_{what}"] += 1


class _Rate:
    """A bucket that holds a second's worth of calls and fills as fast as they are allowed."""

    def __init__(self, calls_per_s: int) -> None:
        self._calls_per_s = calls_per_s
        self._left = float(calls_per_s)
        self._at_s: float | None = None

    def admits(self, now_s: float) -> bool:
        """Whether one more call is within the rate."""
        if self._at_s is not None:
            self._left = min(self._calls_per_s, self._left + (now_s - self._at_s) * self._calls_per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _cut(request: web.BaseRequest) -> web.Response:
    """Close the connection; the response that a handler has to return reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
