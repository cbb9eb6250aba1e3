"""What one connection of the feed brings, frame by frame: subscriptions confirmed, slots, accounts, doubt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import msgspec
from solders.pubkey import Pubkey

from engine.chain.feed_comparison import Kind
from engine.chain.frames import AccountNews, Answer, FrameReader, Raw, SlotNews, UnreadableFrame, WatchedNews
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58

UNREADABLE_MOST = 100  # on one connection
QUIET_SLOTS = 25  # ten seconds
REGULAR_GAP_SLOTS = 12
REGULAR_SLOTS = 10


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


class FeedConnection:
    """Reads the frames of one connection for a listener.

    What has come in one read of the socket is delivered before the next, as one batch. `steady` are watched
    accounts that change all the time, as prices do: when one that did is quiet the connection has failed.
    `believes` says whether the cluster can have come to a slot.
    """

    def __init__(
        self,
        listener: Listener,
        watched: Sequence[Pubkey],
        *,
        steady: Collection[Pubkey],
        believes: Callable[[int], bool],
        on_subscribed: Callable[[], None],
        on_slot: Callable[[int], None],
        on_kind: Callable[[Kind, int], None],
    ) -> None:
        self._listener = listener
        self._steady = steady
        self._believes = believes
        self._on_subscribed = on_subscribed
        self._on_slot = on_slot
        self._on_kind = on_kind
        self._read = FrameReader().read
        self._waiting = dict(enumerate((None, None, *watched), 1))
        self._addresses: dict[int, Pubkey] = {}
        self._flows: dict[Kind, _Flow] = {}
        self._slot = 0
        self._unreadable = 0

    @property
    def is_subscribed(self) -> bool:
        """Whether every subscription was confirmed."""
        return not self._waiting

    def take(self, frames: Sequence[Raw]) -> None:
        """Some frames; raises FeedFailure when the node refuses, talks nonsense, or is not fit any more."""
        read, newest = self._read, 0
        news: list[AccountNews] = []
        for raw in frames:
            try:
                frame = read(raw)
            except UnreadableFrame:
                self._count_unreadable()
                continue
            if type(frame) is AccountNews:
                news.append(frame)
                newest = max(newest, frame.slot)
            elif type(frame) is WatchedNews:
                self._take_watched(frame, news)
            elif type(frame) is SlotNews:
                self._take_slot(frame)
            elif type(frame) is Answer:
                self._take_answer(frame)
        if newest and not self._believes(newest):
            news = self._without_made_up(news)
        elif newest:
            self._note(None, newest)
        if news:
            self._listener.on_accounts(news)

    def _take_watched(self, frame: WatchedNews, news: list[AccountNews]) -> None:
        address = self._addresses.get(frame.subscription)
        if not self._believes(frame.slot):
            self._count_unreadable()
        elif address is not None:
            news.append(AccountNews(address, frame.data, frame.owner, frame.slot, frame.lamports))
            self._note(address, frame.slot)

    def _without_made_up(self, news: Sequence[AccountNews]) -> list[AccountNews]:
        """Without what is of a slot that cannot be: believed, nothing newer would ever be taken again."""
        good = [each for each in news if self._believes(each.slot)]
        for _ in range(len(news) - len(good)):
            self._count_unreadable()
        return good

    def _take_slot(self, news: SlotNews) -> None:
        if not self._believes(news.slot):
            raise FeedFailure(f"it told slot {news.slot}, far beyond all nodes")
        if self._slot and (news.slot < self._slot or news.parent > self._slot):
            self._listener.on_doubt(f"slot {news.slot} on {news.parent} came after {self._slot}")
        self._slot = news.slot
        self._on_slot(news.slot)
        for kind, flow in self._flows.items():
            if flow.is_dry(news.slot):
                self._tell_dry(kind)
        self._listener.on_slot(news.slot)

    def _note(self, kind: Kind, slot: int) -> None:
        """Something of this kind was told."""
        flow = self._flows.get(kind)
        if flow is None:
            flow = self._flows[kind] = _Flow()
        flow.note(self._slot)
        self._on_kind(kind, slot)

    def _tell_dry(self, kind: Kind) -> None:
        """Slots go on, and this does not: it may be the world that is quiet, or the node."""
        if kind is None:
            self._listener.on_doubt(f"no position changed for {QUIET_SLOTS} slots")
        elif kind in self._steady:
            raise FeedFailure(f"it told nothing of price account {kind} for {QUIET_SLOTS} slots")

    def _take_answer(self, answer: Answer) -> None:
        if answer.request_id not in self._waiting:
            return
        if answer.subscription is None:
            raise FeedFailure(f"the node refused a subscription: {answer.refusal}")
        address = self._waiting.pop(answer.request_id)
        if address is not None:
            self._addresses[answer.subscription] = address
        if not self._waiting:
            self._on_subscribed()

    def _count_unreadable(self) -> None:
        self._unreadable += 1
        if self._unreadable == UNREADABLE_MOST:
            raise FeedFailure(f"{UNREADABLE_MOST} notifications could not be read or believed")
        self._listener.on_doubt("a notification could not be read, or not believed")


class _Flow:
    """Whether one kind of news comes regularly, by the slots in which it came."""

    def __init__(self) -> None:
        self._last = 0
        self._in_a_row = 0  # slots with news, none of them long after the one before
        self._dry_at = 0

    def note(self, slot: int) -> None:
        """There was news while the node worked on this slot."""
        if slot != self._last:
            self._in_a_row = self._in_a_row + 1 if slot - self._last <= REGULAR_GAP_SLOTS else 1
            self._last, self._dry_at = slot, slot + QUIET_SLOTS

    def is_dry(self, slot: int) -> bool:
        """Whether it came regularly and has not for long; said once for each QUIET_SLOTS of that."""
        if slot < self._dry_at:
            return False
        self._dry_at = slot + QUIET_SLOTS
        return self._in_a_row >= REGULAR_SLOTS


def requests(program_id: Pubkey, watched: Sequence[Pubkey]) -> Iterator[str]:
    """Subscribe to slots, the program's positions, and each watched account; numbered from one on."""
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
