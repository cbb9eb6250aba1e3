"""The stop drill: press, and measure at the node until when bytes of transactions went on arriving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from engine.drill.course import REBROADCAST_MS, Course

GOAL_MS = 100.0
LISTEN_S = 3 * REBROADCAST_MS / 1000  # long enough for every transaction to be sent again, if it were
REASON = "stop drill"


@dataclass(frozen=True, slots=True)
class Press:
    """One stop. `silence_ms`: from the press to the last bytes at the node; 0 when none came after it.

    `shut_ms`: from the press to the moment that the engine names as the one in which its gate was shut.
    """

    silence_ms: float
    shut_ms: float
    answered_ms: float
    later: int  # pieces that arrived after the answer, when the goal was over as well
    acknowledgement: str

    @property
    def passed(self) -> bool:
        """Whether it was silent in time."""
        return self.silence_ms <= GOAL_MS and not self.later


Stop = Callable[[], Awaitable[str]]
Ready = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """Nothing is waited for before a press."""


async def press(course: Course, stop: Stop) -> Press:
    """Press while the engine sends; `stop` returns the acknowledgement."""
    pressed_ns = time.time_ns()
    acknowledgement = await stop()
    answered_ns = time.time_ns()
    await asyncio.sleep(LISTEN_S)
    gate = (await course.client.snapshot()).gate
    last_ns = course.node.last_ns
    return Press(
        silence_ms=max(0, last_ns - pressed_ns) / 1e6,
        shut_ms=(gate.at_ns - pressed_ns) / 1e6,
        answered_ms=(answered_ns - pressed_ns) / 1e6,
        later=course.node.count_after(max(answered_ns, pressed_ns + int(GOAL_MS * 1e6))),
        acknowledgement=acknowledgement,
    )


async def presses(
    course: Course, count: int, stop: Stop, *, in_the_dark: bool, ready: Ready = at_once
) -> AsyncIterator[Press]:
    """So many presses, each on an engine that was sending; with node and database black-holed or not.

    `ready` waits for whoever presses. The stop is lifted after each press, for the next one.
    """
    for _ in range(count):
        await ready()
        await course.until_it_sends()
        if in_the_dark:
            await course.black_out()
        yield await press(course, stop)
        if in_the_dark:
            await course.light_up()
        await course.resume("the next press of the drill")
