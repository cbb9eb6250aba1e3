"""Time as a parameter: the engine asks a Clock, so that a simulation can run it on virtual time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, and waiting."""

    def now_ns(self) -> int:
        """Nanoseconds of the Unix clock: for records and for the age of a price. May jump."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds of a clock that never jumps: for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a simulation advances its time instead."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Nanoseconds of the Unix clock."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the machine's monotonic clock."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running event loop."""
        await asyncio.sleep(seconds)
