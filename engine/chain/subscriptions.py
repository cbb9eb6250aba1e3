"""The live feed of a node: positions, prices, the fund, the wallet and slots, over one WebSocket.

Subscriptions are lossy by nature, so a feed never claims to be complete: each time a connection is made, and
whenever its sequence is in doubt, the listener is told to take a new snapshot; every notification carries
the slot that guards it. What has come in one turn of the event loop is delivered in that turn, as one batch.
While the engine is busy the socket is not read, so that no queue grows: a node gives up on a client that
slow, and the snapshot after the next connection makes up for the loss.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import aiohttp
import msgspec
import structlog
from solders.pubkey import Pubkey

from engine.chain.frames import (
    AccountNews,
    Answer,
    FrameReader,
    SlotNews,
    UnreadableFrame,
    WatchedNews,
)
from engine.chain.port import RpcFailure
from engine.clock import Clock
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58

log = structlog.get_logger("chain")

SILENCE_DEADLINE_S = 10.0  # slots come every 400 ms: ten seconds without one is a dead connection
RECONNECT_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)
FEEDS_AT_ONCE = 2
FRAME_BYTES = 16 * 1024 * 1024  # an account has at most ten megabytes, and base64 a third more
MOST_AT_ONCE = 4_096  # of the largest batch; the socket gives up to 256 KB a turn
UNREADABLE_MOST = 100  # on one connection


class Listener(Protocol):
    """Where the feed's news goes; every method is called in the loop's thread."""

    def on_connected(self) -> None:
        """A connection is subscribed: what was missed is unknown, so a snapshot is due."""
        ...

    def on_disconnected(self, reason: str) -> None:
        """The connection is gone."""
        ...

    def on_doubt(self, reason: str) -> None:
        """Something may have been missed though the connection stands."""
        ...

    def on_slot(self, slot: int) -> None:
        """The node works on this slot."""
        ...

    def on_accounts(self, news: Sequence[AccountNews]) -> None:
        """Accounts of the program, or watched ones, changed; in the order in which they were told."""
        ...


class FeedFailure(Exception):
    """The connection is of no use any more; the message says why."""


async def try_websocket(url: str) -> None:
    """Connect once and hang up; raises RpcFailure when nobody answers as a WebSocket in time."""
    timeout = aiohttp.ClientTimeout(total=SILENCE_DEADLINE_S)
    try:
        async with (
            asyncio.timeout(SILENCE_DEADLINE_S),
            aiohttp.ClientSession(timeout=timeout) as session,
            session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)),
        ):
            return
    except TimeoutError as error:
        raise RpcFailure(f"timeout after {SILENCE_DEADLINE_S:.0f} s", is_timeout=True) from error
    except (OSError, aiohttp.ClientError, ValueError) as error:
        raise RpcFailure(f"node unreachable ({type(error).__name__})") from error


def _is_fit_as_far_as_known(url: str) -> bool:
    return bool(url)


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
        is_fit: Callable[[str], bool] = _is_fit_as_far_as_known,
    ) -> None:
        self._next_url = next_url
        self._is_fit = is_fit
        self._program_id = program_id
        self._watched = tuple(watched)
        self._listener = listener
        self._clock = clock
        self.url = ""  # of the connection that stands or is tried
        self.is_subscribed = False

    async def run(self) -> None:
        """Connect, deliver, and connect again; ends only by cancellation."""
        failures = 0
        while True:
            self.url = self._next_url()
            try:
                await self._serve_one_connection(self.url)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Whatever broke the connection, the answer is the same: say so and connect again.
                log.warning("subscription lost", reason=f"{type(error).__name__}: {error}"[:200])
                if self.is_subscribed:
                    failures = 0
                    named = isinstance(error, FeedFailure)
                    self._listener.on_disconnected(str(error) if named else type(error).__name__)
            self.is_subscribed = False
            delay = RECONNECT_DELAYS_S[min(failures, len(RECONNECT_DELAYS_S) - 1)]
            failures += 1
            await self._clock.sleep(delay)

    async def _serve_one_connection(self, url: str) -> None:
        async with (
            aiohttp.ClientSession() as session,
            asyncio.timeout(SILENCE_DEADLINE_S) as silence,
            session.ws_connect(
                url,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                max_msg_size=FRAME_BYTES,
                decode_text=False,
            ) as socket,
        ):
            for request in _requests(self._program_id, self._watched):
                await socket.send_str(request)
            connection = _Connection(self._listener, self._watched, silence, lambda: self._is_fit(url))
            try:
                while not connection.is_subscribed:
                    connection.take(await _frame(socket))
                self.is_subscribed = True
                self._listener.on_connected()
                while True:
                    connection.take(await _frame(socket))
            except asyncio.CancelledError:
                # Ended by the deadline, which says so from outside of this block.
                if connection.failure is not None:
                    raise connection.failure from None
                raise


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
        is_fit: Callable[[str], bool] = _is_fit_as_far_as_known,
    ) -> None:
        self._urls = deque(urls)
        self._is_fit = is_fit
        self.feeds = [
            LiveFeed(self._next_url, program_id, watched, listener, clock, is_fit=is_fit)
            for _ in range(min(FEEDS_AT_ONCE, len(urls)))
        ]

    async def run(self) -> None:
        """Run every feed; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds:
                group.create_task(feed.run())

    def _next_url(self) -> str:
        """The URL that was left alone for longest, is fit, and is not another feed's."""
        used = {feed.url for feed in self.feeds if feed.is_subscribed}
        free = [each for each in self._urls if each not in used] or list(self._urls)
        url = next(filter(self._is_fit, free), free[0])
        self._urls.remove(url)
        self._urls.append(url)
        return url


class _Connection:
    """What is known of one connection; collects the news of one turn of the event loop."""

    def __init__(
        self,
        listener: Listener,
        watched: Sequence[Pubkey],
        silence: asyncio.Timeout,
        is_fit: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._is_fit = is_fit
        self._silence = silence
        self._read = FrameReader().read
        self._waiting = dict(enumerate((None, None, *watched), 1))
        self._addresses: dict[int, Pubkey] = {}
        self._batch: list[AccountNews] = []
        self._slot = 0
        self._unreadable = 0
        self.failure: Exception | None = None

    @property
    def is_subscribed(self) -> bool:
        """Whether every subscription was confirmed."""
        return not self._waiting

    def take(self, raw: bytes) -> None:
        """One frame; raises FeedFailure when the node refuses, talks nonsense, or is not fit any more."""
        try:
            frame = self._read(raw)
        except UnreadableFrame:
            self._on_unreadable()
            return
        if type(frame) is AccountNews:
            self._collect(frame)
        elif type(frame) is WatchedNews:
            address = self._addresses.get(frame.subscription)
            if address is not None:
                self._collect(AccountNews(address, frame.data, frame.owner, frame.slot, frame.lamports))
        elif type(frame) is SlotNews:
            self._on_slot(frame)
        elif type(frame) is Answer:
            self._on_answer(frame)

    def _collect(self, news: AccountNews) -> None:
        if not self._batch:
            # Runs once everything that has come by now is here.
            asyncio.get_running_loop().call_soon(self._deliver)
        self._batch.append(news)
        if len(self._batch) >= MOST_AT_ONCE:
            self._deliver()

    def _deliver(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            self._listener.on_accounts(batch)
        except Exception as error:
            # Raised where nobody waits for it: the connection ends with it, and is made anew.
            self.failure = error
            self._silence.reschedule(asyncio.get_running_loop().time())

    def _on_slot(self, news: SlotNews) -> None:
        if not self._is_fit():
            raise FeedFailure("its node is not one to go by")
        if self._slot and (news.slot < self._slot or news.parent > self._slot):
            self._listener.on_doubt(f"slot {news.slot} on {news.parent} came after {self._slot}")
        self._slot = news.slot
        self._silence.reschedule(asyncio.get_running_loop().time() + SILENCE_DEADLINE_S)
        self._listener.on_slot(news.slot)

    def _on_answer(self, answer: Answer) -> None:
        if answer.request_id not in self._waiting:
            return
        if answer.subscription is None:
            raise FeedFailure(f"the node refused a subscription: {answer.refusal}")
        address = self._waiting.pop(answer.request_id)
        if address is not None:
            self._addresses[answer.subscription] = address

    def _on_unreadable(self) -> None:
        self._unreadable += 1
        if self._unreadable == UNREADABLE_MOST:
            raise FeedFailure(f"{UNREADABLE_MOST} notifications could not be read")
        self._listener.on_doubt("a notification could not be read")


def _requests(program_id: Pubkey, watched: Sequence[Pubkey]) -> Iterator[str]:
    """Slots, the program's positions, and each watched account, numbered from one on."""
    config = {"encoding": "base64", "commitment": "processed"}
    only_positions = [{"memcmp": {"offset": 0, "bytes": POSITION_DISCRIMINATOR_BASE58}}]
    calls: list[tuple[str, list[object]]] = [
        ("slotSubscribe", []),
        ("programSubscribe", [str(program_id), {**config, "filters": only_positions}]),
    ]
    calls.extend(("accountSubscribe", [str(address), config]) for address in watched)
    for number, (method, params) in enumerate(calls, 1):
        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        yield msgspec.json.encode(call).decode()


async def _frame(socket: aiohttp.ClientWebSocketResponse[bool]) -> bytes:
    """The next frame; raises FeedFailure at the connection's end."""
    message = await socket.receive()
    if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
        raw: bytes = message.data
        return raw
    if message.type is aiohttp.WSMsgType.ERROR:
        raise FeedFailure(f"the connection broke ({type(message.data).__name__})")
    raise FeedFailure("the node ended the connection")
