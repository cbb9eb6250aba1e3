"""How late the loop came round: counted by bound for ever, and by percentile of late."""

from __future__ import annotations

import asyncio

import pytest
from simulated import VirtualClock

from engine.telemetry.loop_lag import BOUNDS_US, LoopLag


@pytest.mark.parametrize(
    ("lag_us", "bucket"),
    [(0, 0), (250, 0), (251, 1), (15_000, 6), (1_000_000, 11), (1_000_001, 12), (-5, 0)],
)
def test_a_lag_counts_in_the_first_bucket_whose_bound_it_does_not_exceed(lag_us: int, bucket: int) -> None:
    lag = LoopLag(VirtualClock())
    lag.observe_ns(lag_us * 1_000)
    assert [index for index, count in enumerate(lag.counts) if count] == [bucket]
    assert len(lag.counts) == len(BOUNDS_US) + 1
    assert lag.sum_us == lag.longest_us == max(0, lag_us)


class LateClock(VirtualClock):
    """Wakes each sleeper so much later than it wanted, and the last one never."""

    def __init__(self, *late_s: float) -> None:
        super().__init__()
        self._late_s = list(late_s)
        self.is_over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if not self._late_s:
            self.is_over.set()
            await asyncio.Event().wait()
        self._elapsed_ns += round((seconds + self._late_s.pop(0)) * 1e9)


async def test_it_measures_by_how_much_more_than_its_period_it_was_woken_late() -> None:
    clock = LateClock(0, 0.03, 0.0004)
    lag = LoopLag(clock)
    running = asyncio.ensure_future(lag.run())
    try:
        await clock.is_over.wait()
        assert lag.recent.recent_us == [0, 30_000, 400]
        assert (lag.longest_us, lag.sum_us) == (30_000, 30_400)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
