"""The live feed of a node: positions, prices, the fund, the wallet and slots, over one WebSocket.

Subscriptions are lossy by nature, so a feed never claims to be complete: each time a connection is made, and
whenever its sequence is in doubt, the listener is told to take a new snapshot; every notification carries
the slot that guards it. While the engine is busy the socket is not read, so that no queue grows: a node gives
up on a client that slow, and the snapshot after the next connection makes up for the loss.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

import structlog
from solders.pubkey import Pubkey

from engine.chain.feed_comparison import FeedComparison, FeedTale, Kind
from engine.chain.feed_connection import FeedConnection, FeedFailure, Listener, requests
from engine.chain.port import RpcFailure
from engine.chain.websocket import WebSocketFailure, open_websocket
from engine.clock import Clock

log = structlog.get_logger("chain")

CONNECT_DEADLINE_S = 10.0  # until everything is subscribed
SILENCE_DEADLINE_S = 5.0  # twelve slots without one: nothing is decided any more then
RECONNECT_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)
PATIENT_DELAYS_S = (*RECONNECT_DELAYS_S, 5.0, 10.0, 30.0)  # while another feed tells what happens
STEADY_NS = 30 * 10**9  # a connection that stood so long was no failure
FEEDS_AT_ONCE = 2
MESSAGE_BYTES = 16 * 1024 * 1024  # an account has at most ten megabytes, and base64 a third more


async def try_websocket(url: str) -> None:
    """Connect once and hang up; raises RpcFailure when nobody answers as a WebSocket in time."""
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            socket = await open_websocket(url, lambda _: None, MESSAGE_BYTES)
    except TimeoutError as error:
        raise RpcFailure(f"timeout after {CONNECT_DEADLINE_S:.0f} s", is_timeout=True) from error
    except WebSocketFailure as error:
        raise RpcFailure(str(error)) from error
    except (OSError, ValueError) as error:
        raise RpcFailure(f"node unreachable ({type(error).__name__})") from error
    socket.close()


def _is_fit_as_far_as_known(url: str) -> bool:
    return bool(url)


def _believe_everything(slot: int) -> bool:
    return slot >= 0


def _alone() -> bool:
    return False


class LiveFeed:
    """Keeps one subscribed connection, for ever; `next_url` says to whom, each time that one is made."""

    def __init__(
        self,
        next_url: Callable[[], str],
        program_id: Pubkey,
        watched: Sequence[Pubkey],
        listener: Listener,
        clock: Clock,
        *,
        steady: Collection[Pubkey] = (),
        comparison: FeedComparison | None = None,
        is_fit: Callable[[str], bool] = _is_fit_as_far_as_known,
        believes: Callable[[int], bool] = _believe_everything,
        has_other: Callable[[], bool] = _alone,
    ) -> None:
        self._next_url = next_url
        self._has_other = has_other
        self._is_fit = is_fit
        self._believes = believes
        self._program_id = program_id
        self._watched = tuple(watched)
        self._steady = frozenset(steady)
        self._listener = listener
        self._clock = clock
        self._comparison = comparison or FeedComparison(clock)
        self.url = ""  # of the connection that stands or is tried
        self.is_subscribed = False
        self._leave: Callable[[str], None] | None = None
        self._failures: dict[str, int] = {}  # in a row, by URL

    def renew(self, reason: str) -> None:
        """Give the connection up, if one stands, and make another."""
        if self._leave is not None:
            self._leave(reason)

    async def run(self) -> None:
        """Connect, deliver, and connect again; ends only by cancellation."""
        self.url = self._next_url()
        while True:
            began_ns = self._clock.monotonic_ns()
            try:
                await self._serve_one_connection(self.url)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Whatever broke the connection, the answer is the same: say so and connect again.
                log.warning("subscription lost", reason=f"{type(error).__name__}: {error}"[:200])
                if self.is_subscribed:
                    named = isinstance(error, (FeedFailure, WebSocketFailure))
                    self._listener.on_disconnected(str(error) if named else type(error).__name__)
            if self.is_subscribed and self._clock.monotonic_ns() - began_ns >= STEADY_NS:
                self._failures.pop(self.url, None)
            self.is_subscribed, self._leave = False, None
            self._failures[self.url] = self._failures.get(self.url, 0) + 1
            self.url = self._next_url()
            delays = PATIENT_DELAYS_S if self._has_other() else RECONNECT_DELAYS_S
            await self._clock.sleep(delays[min(max(0, self._failures.get(self.url, 0) - 1), len(delays) - 1)])

    async def _serve_one_connection(self, url: str) -> None:
        async with asyncio.timeout(CONNECT_DEADLINE_S) as deadline:
            watch = _Watch(self._comparison, url, deadline, lambda: self._is_fit(url))

            def on_subscribed() -> None:
                self.is_subscribed = True
                self._leave = lambda reason: socket.fail(FeedFailure(reason))
                watch.begin(self._leave)
                self._listener.on_connected()

            connection = FeedConnection(
                self._listener,
                self._watched,
                steady=self._steady,
                believes=self._believes,
                on_subscribed=on_subscribed,
                on_slot=watch.on_slot,
                on_kind=watch.on_kind,
            )
            socket = await open_websocket(url, connection.take, MESSAGE_BYTES)
            try:
                for request in requests(self._program_id, self._watched):
                    socket.send(request)
                await socket.ended
            finally:
                watch.end()
                socket.close()


class _Watch:
    """Looks after one connection: its deadline, the fitness of its node, and how it does beside another."""

    def __init__(
        self,
        comparison: FeedComparison,
        url: str,
        deadline: asyncio.Timeout,
        is_fit: Callable[[], bool],
    ) -> None:
        self._comparison = comparison
        self._url = url
        self._deadline = deadline
        self._is_fit = is_fit
        self._tale: FeedTale | None = None

    def begin(self, leave: Callable[[str], None]) -> None:
        """Everything is subscribed: from now on there should be slots."""
        self._tale = self._comparison.begin(self._url, leave)
        self._expect_slot()

    def end(self) -> None:
        """The connection is gone."""
        if self._tale is not None:
            self._comparison.end(self._tale)

    def on_slot(self, slot: int) -> None:
        """A slot was told; raises FeedFailure when the node is not fit any more."""
        if not self._is_fit():
            raise FeedFailure("its node is not one to go by")
        if self._tale is not None:
            self._expect_slot()
            self._comparison.told_slot(self._tale, slot)

    def on_kind(self, kind: Kind, slot: int) -> None:
        """Something of this kind changed in this slot."""
        if self._tale is not None:
            self._comparison.told_news(self._tale, kind, slot)

    def _expect_slot(self) -> None:
        self._deadline.reschedule(asyncio.get_running_loop().time() + SILENCE_DEADLINE_S)


class LiveFeeds:
    """Feeds of two different nodes at once, where two are known: of each account's news the first counts."""

    def __init__(
        self,
        urls: Sequence[str],
        program_id: Pubkey,
        watched: Sequence[Pubkey],
        listener: Listener,
        clock: Clock,
        *,
        steady: Collection[Pubkey] = (),
        is_fit: Callable[[str], bool] = _is_fit_as_far_as_known,
        believes: Callable[[int], bool] = _believe_everything,
    ) -> None:
        self._urls = deque(urls)
        self._is_fit = is_fit
        comparison = FeedComparison(clock)
        self.feeds = [
            LiveFeed(
                self._next_url,
                program_id,
                watched,
                listener,
                clock,
                steady=steady,
                comparison=comparison,
                is_fit=is_fit,
                believes=believes,
                has_other=lambda: any(feed.is_subscribed for feed in self.feeds),
            )
            for _ in range(min(FEEDS_AT_ONCE, len(urls)))
        ]

    async def run(self) -> None:
        """Run every feed; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds:
                group.create_task(feed.run())

    def renew(self, reason: str) -> None:
        """Make every connection anew."""
        for feed in self.feeds:
            feed.renew(reason)

    def _next_url(self) -> str:
        """The URL that was left alone for longest, is fit, and is not another feed's."""
        used = {feed.url for feed in self.feeds if feed.is_subscribed}
        free = [each for each in self._urls if each not in used] or list(self._urls)
        url = next(filter(self._is_fit, free), free[0])
        self._urls.remove(url)
        self._urls.append(url)
        return url
