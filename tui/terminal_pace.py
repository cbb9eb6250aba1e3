"""Follows how fast the terminal reads: a slow one is painted less often, and not at all while it is full.

What a terminal has not read waits in the kernel and then in Textual's queue, which holds the whole console up
when it is full. A frame that would only wait there is not painted: a newer one will be.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable

SLOWEST_MS = 10_000
CALM_LOOKS = 2  # looks in a row that find the terminal ready, before it is painted more often again


class TerminalPace:
    """The factor by which the operator's interval is stretched: doubled at each look that finds it full."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._factor = 1
        self._calm = 0

    def look(self, wanted_ms: int) -> bool:
        """Whether a frame would be read now; called once for each frame of an interval of `wanted_ms`."""
        ready = self._is_ready()
        self._calm = self._calm + 1 if ready else 0
        if not ready and self.interval_ms(wanted_ms) < SLOWEST_MS:
            self._factor *= 2
        elif self._calm >= CALM_LOOKS and self._factor > 1:
            self._factor = max(1, self._factor // 4)
            self._calm = 0
        return ready

    def is_ready(self) -> bool:
        """The same without drawing conclusions."""
        return self._is_ready()

    def interval_ms(self, wanted_ms: int) -> int:
        """How often the terminal can be painted, at most as often as wanted."""
        return max(wanted_ms, min(wanted_ms * self._factor, SLOWEST_MS))


def terminal_reads() -> bool:
    """Whether the terminal on which the console draws has room for more; true where there is none."""
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        return True
    poller = select.poll()
    poller.register(sys.__stderr__.fileno(), select.POLLOUT)
    return bool(poller.poll(0))
