"""Keeps an idle engine awake, for machines that can spare it a processor: news find the loop running.

A loop that sleeps is woken by the kernel, on a processor that may have been given to somebody else meanwhile,
and finds its code gone from the caches. While nothing is at work this one turns without sleeping, and walks
the way of news once in a while. While something is at work it sleeps as always: whoever waits for the
journal's thread must not wait for a loop that turns for nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from engine.clock import Clock

log = structlog.get_logger("engine")

REHEARSE_NS = 100_000
BUSY_S = 0.001


class Vigil:
    """`heard_ns` is the wall time of the last news: while they come the way is warm of itself.

    A rehearsal that breaks is told, and the last one: the engine goes on without.
    """

    def __init__(
        self,
        rehearse: Callable[[], None],
        clock: Clock,
        *,
        is_busy: Callable[[], bool],
        heard_ns: Callable[[], int],
    ) -> None:
        self._rehearse: Callable[[], None] | None = rehearse
        self._clock = clock
        self._is_busy = is_busy
        self._heard_ns = heard_ns
        self._rehearsed_ns = 0

    async def run(self) -> None:
        """Turn for ever; ends only by cancellation."""
        while True:
            await self._clock.sleep(self.look())

    def look(self) -> float:
        """Do what is due; returns after how many seconds to look again, 0 for the next turn of the loop."""
        if self._is_busy():
            return BUSY_S
        now_ns = self._clock.now_ns()
        if (
            self._rehearse is not None
            and abs(now_ns - max(self._rehearsed_ns, self._heard_ns())) >= REHEARSE_NS
        ):
            self._go_through(self._rehearse)
        return 0.0

    def _go_through(self, rehearse: Callable[[], None]) -> None:
        try:
            rehearse()
        except Exception as error:
            # Whatever broke it, nothing depends on it.
            log.error("rehearsals ended", reason=f"{type(error).__name__}: {error}"[:200])
            self._rehearse = None
        self._rehearsed_ns = self._clock.now_ns()
