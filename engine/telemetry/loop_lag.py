"""How late the event loop comes round: a histogram of what it kept waiting, for metrics and for the picture.

The buckets count for the whole life of the process, as metrics want them; the percentiles are recent.
"""

from __future__ import annotations

from engine.clock import Clock
from engine.telemetry.histogram import Histogram
from engine.telemetry.latency import Latency

PERIOD_S = 0.02
BOUNDS_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 15_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)


class LoopLag:
    """Asks to be woken fifty times a second, and counts how much later it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.recent = Latency()
        self._histogram = Histogram(BOUNDS_US)
        self.longest_us = 0

    @property
    def counts(self) -> list[int]:
        """How many by upper bound, since the start; the last one has none."""
        return self._histogram.counts

    @property
    def sum_us(self) -> int:
        """All of them together, since the start."""
        return self._histogram.sum_us

    async def run(self) -> None:
        """Measure for ever; ends only by cancellation."""
        while True:
            before_ns = self._clock.monotonic_ns()
            await self._clock.sleep(PERIOD_S)
            self.observe_ns(self._clock.monotonic_ns() - before_ns - int(PERIOD_S * 1e9))

    def observe_ns(self, lag_ns: int) -> None:
        """Add one observation."""
        self.recent.observe_ns(lag_ns)
        lag_us = max(0, lag_ns) // 1_000
        self._histogram.observe_us(lag_us)
        self.longest_us = max(self.longest_us, lag_us)
