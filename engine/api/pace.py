"""How soon readers are served: behind what is being liquidated, and not more often than there is room for.

Listeners and the engine are threads of one interpreter: each answer takes a fifth of a millisecond from it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

READS_PER_S = 700  # answered over TCP, whoever asks: about a seventh of the interpreter's time
READS_AT_ONCE = 10
CONNECTIONS_PER_S = 200  # new ones over TCP: who sends no request that can be read costs a connection each
CONNECTIONS_AT_ONCE = 300
LONGEST_WAIT_S = 0.05  # behind what is being liquidated: in a crash there is always something
_REST_S = 0.001


class Courtesy:
    """Lets the engine go first. Belongs to the listeners' loop.

    `is_busy` says, in any thread and at once, whether something is on its way to its first byte.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self.is_busy = is_busy
        self._resting: asyncio.Task[None] | None = None

    async def give_way(self) -> None:
        """Wait until the engine is not busy, for LONGEST_WAIT_S at most."""
        if not self.is_busy():
            return
        loop = asyncio.get_running_loop()
        latest_s = loop.time() + LONGEST_WAIT_S
        while self.is_busy() and loop.time() < latest_s:
            await self.rest()

    async def rest(self) -> None:
        """A moment, one for all who wait: each of them waking by itself would be work of its own."""
        if self._resting is None or self._resting.done():
            self._resting = asyncio.create_task(asyncio.sleep(_REST_S))
        await asyncio.shield(self._resting)


class Pace:
    """So many turns a second at most, evenly, but for some that may come at once after a pause."""

    def __init__(self, per_s: float, at_once: int, courtesy: Courtesy | None = None) -> None:
        self._apart_s = 1 / per_s
        self._ahead_s = at_once / per_s
        self._courtesy = courtesy or Courtesy(lambda: False)
        self._free_s = 0.0  # when the next turn is due if all of them are taken

    async def turn(self) -> None:
        """Wait for the next turn; who asks first is first. One that comes at a bad moment is taken later."""
        loop = asyncio.get_running_loop()
        latest_s = loop.time() + LONGEST_WAIT_S
        while True:
            wait_s = self.next_in_s()
            if wait_s:
                await asyncio.sleep(wait_s)
            if not self._courtesy.is_busy() or loop.time() >= latest_s:
                return
            await self._courtesy.rest()

    def next_in_s(self, longest_s: float = math.inf) -> float:
        """Take the next turn: in how many seconds it is due, `longest_s` at most."""
        now_s = asyncio.get_running_loop().time()
        self._free_s = max(self._free_s, now_s - self._ahead_s) + self._apart_s
        self._free_s = min(self._free_s, now_s + longest_s)
        return min(longest_s, max(0.0, self._free_s - now_s))
