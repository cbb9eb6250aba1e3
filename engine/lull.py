"""Lets what is on its way to its first byte go first: work that can wait is done in pieces between that."""

from __future__ import annotations

from collections.abc import Callable

from engine.clock import Clock

REST_S = 0.001


class Lull:
    """Waits for a moment in which nothing is being decided on, signed or sent."""

    def __init__(self, is_busy: Callable[[], bool], clock: Clock) -> None:
        self._is_busy = is_busy
        self._clock = clock

    async def wait(self, longest_s: float) -> None:
        """Until then, or for `longest_s`: in a crash there is always something on its way."""
        end_ns = self._clock.monotonic_ns() + int(longest_s * 1e9)
        while self._is_busy() and self._clock.monotonic_ns() < end_ns:
            await self._clock.sleep(REST_S)
