"""The emergency stop, from the key in a terminal to the last byte of a transaction at the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from statistics import quantiles

from benchmarks.console_terminal import Terminal
from benchmarks.measurement import Measurement
from benchmarks.processes import Failed
from engine.drill.course import drill_course
from engine.drill.stop import GOAL_MS, Press, presses

PRESSES = 100
STOP_KEY = b"\x05"
RUNNING, STOPPED = "● RUNNING", "■ STOPPED"  # in the banner; events have the words, too


def measure() -> Iterator[Measurement]:
    """A hundred presses on an engine that sends and rebroadcasts, and a hundred in a black hole."""
    bright, dark = asyncio.run(_press_all())
    for name, done in (("stop", bright), ("stop_black_holed", dark)):
        if any(press.later for press in done):
            raise Failed("transactions arrived at the node after the stop was acknowledged")
        p99_ms = quantiles([press.silence_ms for press in done], n=100, method="inclusive")[98]
        yield Measurement(name, "ms", [p99_ms], n=len(done), goal=GOAL_MS)


async def _press_all() -> tuple[list[Press], list[Press]]:
    async with drill_course() as course, Terminal(course.environment) as console:

        async def press_key() -> str:
            return await console.press(STOP_KEY, until=STOPPED)

        async def is_running() -> None:
            await console.shows(RUNNING)

        def pressing(in_the_dark: bool) -> AsyncIterator[Press]:
            return presses(course, PRESSES, press_key, in_the_dark=in_the_dark, ready=is_running)

        return [each async for each in pressing(False)], [each async for each in pressing(True)]
