"""Starts again what may break without anything being at stake: telling, showing, shipping.

A fault of ours in what holds money ends the engine, since nobody knows what it still believes rightly; a
supervisor starts it anew from its journal. A fault in what only tells of it must not: an answer that no
database should give would end that start too, and every one after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from engine.clock import Clock
from engine.telemetry.events import EventLog, Level

log = structlog.get_logger("engine")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
GOOD_RUN_S = 600.0  # one that lasted so long is no part of a row of failures


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
