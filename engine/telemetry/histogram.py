"""Counts durations by upper bound for the whole life of the process, as metrics want them."""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """`counts[i]` were above the bound before and at most `bounds_us[i]`; the last one has no bound."""

    __slots__ = ("bounds_us", "counts", "sum_us")

    def __init__(self, bounds_us: tuple[int, ...]) -> None:
        self.bounds_us = bounds_us
        self.counts = [0] * (len(bounds_us) + 1)
        self.sum_us = 0

    def observe_us(self, duration_us: int) -> None:
        """Add one duration, which is not negative."""
        self.counts[bisect_left(self.bounds_us, duration_us)] += 1
        self.sum_us += duration_us
