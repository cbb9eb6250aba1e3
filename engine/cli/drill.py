"""`drill stop`: tries the emergency stop out and says how long it took until nothing more left."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from engine.cli.failures import EXIT_REFUSED, BadUsage, fail, run_async

app = typer.Typer(help="Tries out what is promised for an emergency.")

_MOST_PRESSES = 1000


@app.callback()
def drill() -> None:
    """Tries out what is promised for an emergency."""


@app.command()
def stop(
    presses: Annotated[
        int,
        typer.Option("--presses", metavar="N", help="How often, with and again without node and database."),
    ] = 5,
) -> None:
    """Press the stop on an engine that sends, and measure at its node until when bytes went on arriving.

    The engine and all that it needs are started for the drill, and ended after it; yours is not touched.
    """
    if not 1 <= presses <= _MOST_PRESSES:
        raise BadUsage(f"--presses {presses} is out of range: give 1 to {_MOST_PRESSES}")
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the drill's own engine ends, too
    try:
        has_held = run_async(_drill(presses))
    finally:
        signal.signal(signal.SIGTERM, former)
    if not has_held:
        fail("The stop did not hold: look above, and do not trust this engine with money", EXIT_REFUSED)


async def _drill(count: int) -> bool:
    """Whether every press was silent in time."""
    from engine.drill import course as courses
    from engine.drill import stop as stops

    print(
        "Starting an engine of the drill's own on a private sandbox; it sends the same bytes again and again"
    )
    done = []
    async with courses.drill_course() as course:

        async def press() -> str:
            return (await course.client.stop("drill")).message

        for in_the_dark in (False, True):
            where = "node and database black-holed" if in_the_dark else "node and database there"
            async for each in stops.presses(course, count, press, in_the_dark=in_the_dark):
                done.append(each)
                verdict = "ok" if each.passed else "TOO LATE"
                print(
                    f"{verdict}: last byte at the node {each.silence_ms:.1f} ms after the press, answered "
                    f"after {each.answered_ms:.1f} ms, {where}. {each.acknowledgement}",
                    flush=True,
                )
    passed = all(each.passed for each in done)
    worst_ms = max(each.silence_ms for each in done)
    later = sum(each.later for each in done)
    print(
        f"{'PASS' if passed else 'FAIL'}: press to silence at most {worst_ms:.1f} ms in {len(done)} presses "
        f"(goal {stops.GOAL_MS:.0f} ms), {later} writes arrived later"
    )
    return passed
