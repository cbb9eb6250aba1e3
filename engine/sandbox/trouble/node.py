"""The trouble of one node: with its calls, with its notifications, with its look at the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.serving.interference import Cut, Push, Respond
from engine.sandbox.trouble.calls import Calls
from engine.sandbox.trouble.notifications import Notifications
from engine.sandbox.trouble.settings import Trouble


class NodeTroubles:
    """Interferes with one node as its settings say; the node's `view` may lag or stand still."""

    def __init__(self, number: int, view: View) -> None:
        self.counters: Counter[str] = Counter()
        self._number = number
        self._view = view
        self._calls = Calls("http", self.counters)
        self._notifications = Notifications("websocket", self.counters)
        self._stands_still = False

    def set(self, trouble: Trouble) -> None:
        """Follow this node's sections from now on."""
        # Two nodes under the same settings do not fail at the same calls.
        seed = trouble.seed + self._number
        self._calls.set(trouble.http, seed)
        self._notifications.set(trouble.websocket, seed)
        self._view.lag(trouble.node.lag_slots)
        if trouble.node.stands_still and not self._stands_still:
            self._view.freeze()
        elif self._stands_still and not trouble.node.stands_still:
            self._view.thaw()
        self._stands_still = trouble.node.stands_still

    async def around(
        self, request: web.BaseRequest, methods: Sequence[str], respond: Respond
    ) -> web.StreamResponse:
        """Interfere with a call."""
        return await self._calls.around(request, methods, respond)

    def notifications(self, push: Push, cut: Cut) -> Push:
        """Interfere with a connection's notifications."""
        return self._notifications.way(push, cut)
