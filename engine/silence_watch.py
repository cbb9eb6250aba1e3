"""Notices feeds that tell of slots and of no position, by what snapshots find changed meanwhile.

Two feeds are held against each other; of a single one, or of two that are silent alike, only a snapshot can
tell that positions changed of which nothing was heard.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.telemetry.events import EventLog, Level

GRACE_SLOTS = 8  # for news that are on their way while the snapshot is read


class SilenceWatch:
    """`renew` makes the feeds anew; `is_deaf` from then on until a position is told."""

    def __init__(self, renew: Callable[[str], None], events: EventLog) -> None:
        self._renew = renew
        self._events = events
        self._told = 0  # batches of positions since the last snapshot
        self._untold = 0  # positions that it found changed
        self._judged_at = 0  # the slot in which that is judged, 0 when there is nothing to judge
        self.is_deaf = False

    def on_positions(self) -> None:
        """Positions were told."""
        self._told += 1
        self._judged_at = 0
        if self.is_deaf:
            self.is_deaf = False
            self._events.add(Level.INFO, "positions are told again")

    def on_snapshot(self, changed: int, slot: int) -> None:
        """A snapshot is in the book, in which so many positions were news; the feed is in this slot."""
        if changed and not self._told:
            self._untold, self._judged_at = changed, slot + GRACE_SLOTS
        self._told = 0

    def on_slot(self, slot: int) -> None:
        """The feed is in this slot."""
        if not 0 < self._judged_at <= slot:
            return
        self._judged_at = 0
        if not self.is_deaf:
            self.is_deaf = True
            self._renew(f"it tells nothing of positions ({self._untold} changed unheard)")
