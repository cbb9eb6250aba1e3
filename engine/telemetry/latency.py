"""Latencies of the stages: the last of each with their percentiles, and all since the start by size."""

from __future__ import annotations

from collections import deque

from engine.telemetry.histogram import Histogram

WINDOW = 4096
RECENT = 60
# The guide's goals, 50 ms and 100 ms, are bounds: how many missed them is exact.
BOUNDS_US = (
    *(250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000),
)


class Latency:
    """One stage's observations in microseconds, the last 4,096 of them."""

    def __init__(self) -> None:
        self._window: deque[int] = deque(maxlen=WINDOW)
        self.histogram = Histogram(BOUNDS_US)
        self.count = 0

    def observe_ns(self, duration_ns: int) -> None:
        """Add one duration; a clock that stepped back counts as zero."""
        duration_us = max(0, duration_ns) // 1_000
        self._window.append(duration_us)
        self.histogram.observe_us(duration_us)
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
