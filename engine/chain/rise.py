"""A counter of the cluster, slots or blocks: it grows, and no faster than blocks can be made."""

from __future__ import annotations

from engine.clock import Clock

SLACK = 150
FASTEST_PER_S = 200  # eighty times what clusters do; what grows faster than this is made up


class Rise:
    """The highest value that was believed, 0 before the first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_ns = 0
        self.value = 0

    def believes(self, value: int) -> bool:
        """Whether the counter can have come to this value by now. The first one is believed as it is."""
        if not 0 <= value < 2**63:
            return False
        elapsed_ns = self._clock.monotonic_ns() - self._at_ns
        return not self.value or value <= self.value + SLACK + elapsed_ns * FASTEST_PER_S // 10**9

    @property
    def rested_s(self) -> float:
        """How long nothing higher was believed."""
        return (self._clock.monotonic_ns() - self._at_ns) / 1e9

    def note(self, value: int) -> None:
        """Take a value that is believed."""
        if value > self.value:
            self.value = value
            self._at_ns = self._clock.monotonic_ns()

    def begin_anew(self, value: int) -> None:
        """Forget what turned out to be untrue."""
        self.value = value
        self._at_ns = self._clock.monotonic_ns()
