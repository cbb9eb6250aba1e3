"""A WebSocket is gone by only as long as the endpoint beside it is one to go by."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from simulated import VirtualClock
from solders.pubkey import Pubkey

from engine.chain.feed_fitness import FeedFitness
from engine.chain.port import EndpointReport
from engine.chain.subscriptions import LiveFeeds

URLS = ["ws://first.example", "ws://second.example"]


class Standing:
    """Endpoints whose states a test sets."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def endpoints(self):
        return [EndpointReport("node", state, "", 1, 0, 0, 0, 0, 9, 9) for state in self.states]


@pytest.mark.parametrize(
    ("first", "second", "fit"),
    [
        ("ok", "ok", True),
        ("foreign", "ok", False),
        ("foreign", "failing", False),
        ("distrusted", "ok", False),
        ("behind", "ok", False),
        ("still", "ok", False),
        ("still", "still", True),  # there is no better one
        ("failing", "ok", True),  # its HTTP side may be all that fails
        ("resting", "ok", True),
    ],
)
def test_a_feed_is_as_good_as_its_endpoint(first, second, fit):
    assert FeedFitness(Standing(first, second), URLS, VirtualClock()).is_fit(URLS[0]) is fit


def test_where_endpoints_and_feeds_are_not_as_many_nothing_is_known():
    assert FeedFitness(Standing("foreign", "ok", "ok"), URLS, VirtualClock()).is_fit(URLS[0])


class Listener:
    def __init__(self) -> None:
        self.lost = asyncio.Queue()
        self.slots = asyncio.Queue()

    def on_connected(self) -> None:
        """Nothing to do."""

    def on_disconnected(self, reason: str) -> None:
        self.lost.put_nowait(reason)

    def on_doubt(self, reason: str) -> None:
        """Nothing to do."""

    def on_slot(self, slot: int) -> None:
        self.slots.put_nowait(slot)

    def on_accounts(self, news) -> None:
        """Nothing to do."""


def node(number: int, asked: list[int], slots: asyncio.Queue[int]) -> web.Application:
    """Confirms three subscriptions and announces the slots that it is given."""

    async def announce(socket: web.WebSocketResponse) -> None:
        while True:
            slot = await slots.get()
            result = {"parent": slot - 1, "root": slot - 32, "slot": slot}
            params = {"result": result, "subscription": 1}
            await socket.send_json({"jsonrpc": "2.0", "method": "slotNotification", "params": params})

    async def serve(request: web.Request) -> web.WebSocketResponse:
        asked.append(number)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for subscription in range(1, 4):
            call = await socket.receive_json()
            await socket.send_json({"jsonrpc": "2.0", "id": call["id"], "result": subscription})
        announcing = asyncio.ensure_future(announce(socket))
        await socket.receive()  # it is left
        announcing.cancel()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    return app


async def test_a_feed_leaves_a_node_that_falls_behind_for_another():
    asked: list[int] = []
    slots: asyncio.Queue[int] = asyncio.Queue()
    runners, urls = [], []
    for number in (1, 2):
        runner = web.AppRunner(node(number, asked, slots), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        urls.append(f"ws://127.0.0.1:{runner.addresses[0][1]}")
    standing, listener = Standing("ok", "ok"), Listener()
    fitness = FeedFitness(standing, urls, VirtualClock())
    feeds = LiveFeeds(
        urls, Pubkey.default(), [Pubkey.default()], listener, VirtualClock(), is_fit=fitness.is_fit
    )
    feed = feeds.feeds[0]
    running = asyncio.ensure_future(feed.run())
    try:
        async with asyncio.timeout(20):
            slots.put_nowait(100)
            assert await listener.slots.get() == 100
            standing.states[0] = "behind"
            slots.put_nowait(101)
            assert await listener.lost.get() == "its node is not one to go by"
            assert feeds._next_url() == urls[1]
        assert asked == [1]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for runner in runners:
            await runner.cleanup()
