"""Tells operators of feeds that come and go, in few lines, however often they do."""

from __future__ import annotations

from engine.clock import Clock
from engine.telemetry.events import EventLog, Level

TOLD_REST_NS = 60 * 10**9


class SubscriptionLog:
    """A loss is told at once, further ones within a minute are counted, and told when the minute is over."""

    def __init__(self, events: EventLog, clock: Clock) -> None:
        self._events = events
        self._clock = clock
        self._told_ns: int | None = None  # when a loss was told last
        self._last_reason = ""
        self.untold = 0
        self.losses = 0

    def connected(self) -> None:
        """A feed is subscribed."""
        if not self.untold:
            self._events.add(Level.INFO, "subscribed to the node")

    def lost(self, reason: str) -> None:
        """A feed was lost."""
        self.losses += 1
        self._last_reason = reason
        if self._is_resting():
            self.untold += 1
            return
        self.look()
        self._told_ns = self._clock.monotonic_ns()
        self._events.add(Level.ATTENTION, f"subscription lost: {reason}")

    def look(self) -> None:
        """Tell what was only counted, when it is time."""
        if self.untold and not self._is_resting():
            self._events.add(
                Level.ATTENTION,
                f"subscription lost {self.untold} more times within a minute, and made anew as often: "
                f"{self._last_reason}",
            )
            self.untold, self._told_ns = 0, self._clock.monotonic_ns()

    def _is_resting(self) -> bool:
        return self._told_ns is not None and self._clock.monotonic_ns() - self._told_ns < TOLD_REST_NS
