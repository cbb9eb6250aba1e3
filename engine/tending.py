"""Starts again what may break without anything being at stake: telling, showing, shipping.

A fault of ours in what holds money ends the engine, since nobody knows what it still believes rightly; a
supervisor starts it anew from its journal. A fault in what only tells of it must not: an answer that no
database should give would end that start too, and every one after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import structlog

from engine.clock import Clock
from engine.telemetry.events import EventLog, Level

log = structlog.get_logger("engine")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
GOOD_RUN_S = 600.0  # one that lasted so long is no part of a row of failures
AGAIN_S, GIVEN_UP_S = 2.0, 20.0  # what a task still does when it is cancelled has that long


async def tended(what: str, run: Callable[[], Awaitable[None]], clock: Clock, events: EventLog) -> None:
    """Run a loop for ever: where it breaks it is told and begun again, after longer and longer pauses.

    `what` is the loop's name, as an operator reads it. Ends only by cancellation, or when the loop ends.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        begun_ns = clock.monotonic_ns()
        try:
            await run()
        except Exception as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError from error  # it broke because it was to end
            log.exception(f"{what} broke")
            if clock.monotonic_ns() - begun_ns >= GOOD_RUN_S * 1e9:
                pause_s = FIRST_PAUSE_S
            events.add(
                Level.DANGER,
                f"ERROR {what} broke ({type(error).__name__}) and begins again in {pause_s:g} s: "
                "report the traceback in the log",
            )
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        else:
            return


async def cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel them and see that they end: again and again, for GIVEN_UP_S at most.

    A cancellation that comes in the moment in which what is waited for fails can be lost on the way: undoing
    things fails as well, and that is raised in its place. A TaskGroup does so, too, and until Python 3.12
    `asyncio.wait_for`.
    """
    left = [task for task in tasks if not task.done()]
    for _ in range(int(GIVEN_UP_S / AGAIN_S)):
        if not left:
            return
        for task in left:
            task.cancel()
        _, pending = await asyncio.wait(left, timeout=AGAIN_S)
        left = list(pending)
