"""How soon readers are served: behind what is being liquidated, and not more often than there is room for.

Listeners and the engine are threads of one interpreter: each request that is read takes a fifth of a
millisecond from it, one that is only recognised a fifth of that. What waits is answered together, in ticks:
one wake-up for several, here and where they are read.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial

READS_PER_S = 560  # answered over TCP, whoever asks: a ninth of the interpreter's time if all are read
TICK_S = 0.01
READS_AT_ONCE = 10
CONNECTIONS_PER_S = 40  # new ones over TCP: each costs as much as twenty answers
CONNECTIONS_AT_ONCE = 300  # many readers come back together
LONGEST_WAIT_S = 0.05  # behind what is being liquidated: in a crash there is always something
_REST_S = 0.002


class Courtesy:
    """Lets the engine go first. Belongs to the listeners' loop.

    `is_busy` says, in any thread and at once, whether something is on its way to its first byte.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self.is_busy = is_busy
        self._waiting: list[Callable[[], None]] = []

    async def give_way(self) -> None:
        """Wait until the engine is not busy, for LONGEST_WAIT_S at most."""
        await _called(self.when_free)

    def when_free(self, then: Callable[[], None]) -> None:
        """Call it when the engine is not busy, now if it is not; after LONGEST_WAIT_S in any case."""
        self.when_free_until(asyncio.get_running_loop().time() + LONGEST_WAIT_S, then)

    def when_free_until(self, latest_s: float, then: Callable[[], None]) -> None:
        """The same, at this moment of the loop in any case."""
        loop = asyncio.get_running_loop()
        if not self.is_busy() or loop.time() >= latest_s:
            then()
            return
        # One rest for all who wait: each of them waking by itself would be work of its own.
        if not self._waiting:
            loop.call_later(_REST_S, self._look_again)
        self._waiting.append(partial(self.when_free_until, latest_s, then))

    def _look_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()


class Pace:
    """So many turns a second at most, evenly, but for some that may come at once after a pause."""

    def __init__(self, per_s: float, at_once: int, courtesy: Courtesy | None = None) -> None:
        self._apart_s = 1 / per_s
        self._ahead_s = at_once / per_s
        self._courtesy = courtesy or Courtesy(lambda: False)
        self._free_s = 0.0  # when the next turn is due if all of them are taken

    async def turn(self) -> None:
        """Wait for the next turn; who asks first is first. One that comes at a bad moment is taken later."""
        await _called(self.take)

    def take(self, then: Callable[[], None]) -> None:
        """Call it at the next turn, now if there is one."""
        wait_s = self.next_in_s()
        if wait_s:
            loop = asyncio.get_running_loop()
            loop.call_at(_ticked(loop.time() + wait_s), self._courtesy.when_free, then)
        else:
            self._courtesy.when_free(then)

    def put_off(self, then: Callable[[], None]) -> bool:
        """Call it at the next turn, in LONGEST_WAIT_S at most; False, and not at all, if that turn is now."""
        wait_s = self.next_in_s(LONGEST_WAIT_S)
        if wait_s:
            loop = asyncio.get_running_loop()
            loop.call_later(wait_s, self._courtesy.when_free_until, loop.time() + LONGEST_WAIT_S, then)
        return wait_s > 0

    def next_in_s(self, longest_s: float = math.inf) -> float:
        """Take the next turn: in how many seconds it is due, `longest_s` at most."""
        now_s = asyncio.get_running_loop().time()
        self._free_s = max(self._free_s, now_s - self._ahead_s) + self._apart_s
        self._free_s = min(self._free_s, now_s + longest_s)
        return min(longest_s, max(0.0, self._free_s - now_s))


def _ticked(at_s: float) -> float:
    """The end of the tick; a hair later for what is due later in it, for all to stay in their order."""
    ticks, rest_s = divmod(at_s, TICK_S)
    return (ticks + 1) * TICK_S + rest_s / 1_000


async def _called(by: Callable[[Callable[[], None]], None]) -> None:
    """Wait until what is given to it is called."""
    called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    by(lambda: None if called.done() else called.set_result(None))
    await called
