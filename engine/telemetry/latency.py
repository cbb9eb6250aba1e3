"""Latencies of the three stages: the last observations of each, with their percentiles."""

from __future__ import annotations

from collections import deque

WINDOW = 4096
RECENT = 60


class Latency:
    """One stage's observations in microseconds, the last 4,096 of them."""

    def __init__(self) -> None:
        self._window: deque[int] = deque(maxlen=WINDOW)
        self.count = 0

    def observe_ns(self, duration_ns: int) -> None:
        """Add one duration; a clock that stepped back counts as zero."""
        self._window.append(max(0, duration_ns) // 1_000)
        self.count += 1

    @property
    def recent_us(self) -> list[int]:
        """The last sixty, oldest first."""
        return list(self._window)[-RECENT:]

    def percentiles_us(self, *percents: int) -> list[int]:
        """The nearest-rank percentiles of the window, zeros while it is empty."""
        ordered = sorted(self._window)
        if not ordered:
            return [0 for _ in percents]
        return [ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in percents]


class Latencies:
    """Detection to first bytes out, bytes out to confirmed, and detection to confirmed.

    They count from when the engine could act. `finality_wait` is what went before that, for positions that
    were liquidatable again while their last transaction was not final yet.
    """

    def __init__(self) -> None:
        self.detect_to_submit = Latency()
        self.submit_to_confirm = Latency()
        self.detect_to_confirm = Latency()
        self.finality_wait = Latency()
