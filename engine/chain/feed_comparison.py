"""Feeds beside each other: one that is silent while another goes on is left, be it in one kind of news only.

Two feeds tell the same, and of each account the first to tell it counts; so nothing is lost while one is
silent. But the other might be next, and then there has to be one that works.
"""

from __future__ import annotations

from collections.abc import Callable

from solders.pubkey import Pubkey

from engine.clock import Clock

SILENT_S = 1.0
SILENT_SLOTS = 2  # of another feed in that time: else the cluster itself pauses
MISSED_SLOTS = 8  # in which another feed told of a kind, and this one, which is as far, did not
MISSED_REST_S = 60.0  # a feed that lies about accounts must not drive the other one out again and again

Kind = Pubkey | None
"""What a subscription is for: a single account, or the program's positions (None)."""


class FeedTale:
    """What one connection has told so far. `leave` ends it."""

    def __init__(self, url: str, now_ns: int, leave: Callable[[str], None]) -> None:
        self.url = url
        self.leave = leave
        self.slot = 0
        self.slot_told_ns = now_ns
        self.newest: dict[Kind, int] = {}
        self.missed: dict[Kind, list[int]] = {}  # slots that others told, ascending; at most MISSED_SLOTS


class FeedComparison:
    """The tales of the connections that are subscribed right now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tales: list[FeedTale] = []
        self._left_ns: dict[str, int] = {}  # by URL, when it was left for a kind's silence

    def begin(self, url: str, leave: Callable[[str], None]) -> FeedTale:
        """A connection is subscribed."""
        tale = FeedTale(url, self._clock.monotonic_ns(), leave)
        self._tales.append(tale)
        return tale

    def end(self, tale: FeedTale) -> None:
        """The connection is gone."""
        if tale in self._tales:
            self._tales.remove(tale)

    def told_slot(self, tale: FeedTale, slot: int) -> None:
        """This feed announced a slot."""
        now_ns = self._clock.monotonic_ns()
        tale.slot, tale.slot_told_ns = slot, now_ns
        for other in [each for each in self._tales if each is not tale]:
            if now_ns - other.slot_told_ns >= SILENT_S * 1e9 and slot >= other.slot + SILENT_SLOTS:
                self.end(other)
                other.leave("it told no slot for a second while another feed went on")
        self._judge_kinds(tale, now_ns)

    def told_news(self, tale: FeedTale, kind: Kind, slot: int) -> None:
        """This feed told of a change in this slot."""
        if slot >= tale.newest.get(kind, 0):
            tale.newest[kind] = slot
            tale.missed.pop(kind, None)
        for other in self._tales:
            if other is not tale and slot > other.newest.get(kind, 0):
                missed = other.missed.setdefault(kind, [])
                if len(missed) < MISSED_SLOTS and (not missed or slot > missed[-1]):
                    missed.append(slot)

    def _judge_kinds(self, tale: FeedTale, now_ns: int) -> None:
        """Whether it has itself come past so many slots of which it should have told."""
        for kind, missed in tale.missed.items():
            if len(missed) < MISSED_SLOTS or tale.slot <= missed[-1] + 1:
                continue
            left_ns = self._left_ns.get(tale.url)
            if left_ns is not None and now_ns - left_ns < MISSED_REST_S * 1e9:
                continue
            self._left_ns[tale.url] = now_ns
            what = "positions" if kind is None else f"account {kind}"
            self.end(tale)
            tale.leave(f"it tells nothing of {what} while another feed does")
            return
