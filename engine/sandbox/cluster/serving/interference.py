"""Where trouble may enter between a node and its clients: around each HTTP request, before each message.

The cluster itself interferes with nothing; whoever rehearses trouble passes an `Interference` to `serve`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

Respond = Callable[[], Awaitable[web.StreamResponse]]
Push = Callable[[bytes], None]
Cut = Callable[[], None]


class HttpInterference(Protocol):
    """The way of requests and their answers."""

    async def around(
        self, request: web.BaseRequest, methods: Sequence[str], respond: Respond
    ) -> web.StreamResponse:
        """Answer an HTTP request that calls `methods`; `respond` does it properly and may be called twice."""
        ...


class Interference(HttpInterference, Protocol):
    """Both ways between a node and its clients."""

    def notifications(self, push: Push, cut: Cut) -> Push:
        """The push for one connection's notifications, given the proper one; answers do not pass here.

        `cut` ends the connection without a word.
        """
        ...


class NoInterference:
    """A node that works."""

    async def around(
        self, _request: web.BaseRequest, _methods: Sequence[str], respond: Respond
    ) -> web.StreamResponse:
        """Answer properly."""
        return await respond()

    def notifications(self, push: Push, _cut: Cut) -> Push:
        """Push properly."""
        return push
