"""What only tells of the engine begins again where it breaks, and ends nothing else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from simulated import VirtualClock

from engine import tending
from engine.domain import OutcomeClass
from engine.runtime import _telling
from engine.telemetry.events import EventLog
from engine.tending import FIRST_PAUSE_S, GOOD_RUN_S, LONGEST_PAUSE_S, cancelled, tended


class Breaking:
    """A loop that runs for a while and breaks, again and again; what of it was told and when it began."""

    def __init__(self, clock: VirtualClock, lasts_s: float = 0.0) -> None:
        self.clock, self.lasts_s = clock, lasts_s
        self.events = EventLog(clock)
        self.began_s: list[float] = []

    async def run(self) -> None:
        self.began_s.append(self.clock.monotonic_ns() / 1e9)
        await self.clock.sleep(self.lasts_s)
        raise LookupError("of nothing that anybody foresaw")

    async def live(self, seconds: float) -> list[float]:
        """Tend it for so long; the pauses before each new beginning."""
        task = asyncio.create_task(tended("reading of tea leaves", self.run, self.clock, self.events))
        await self.clock.advance(seconds)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        began = self.began_s
        return [round(b - a - self.lasts_s, 3) for a, b in pairwise(began)]


async def test_what_breaks_begins_again_after_longer_and_longer_pauses_and_is_told_each_time():
    breaking = Breaking(VirtualClock())
    pauses_s = await breaking.live(200)
    assert pauses_s == [FIRST_PAUSE_S, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    lines = [(event.level.value, event.text) for event in breaking.events.latest(99)]
    assert len(lines) == len(pauses_s) + 1
    told = "broke (LookupError) and begins again in 1 s: report the traceback in the log"
    assert ("danger", f"ERROR reading of tea leaves {told}") in lines


async def test_after_a_long_good_run_the_pause_is_short_again():
    breaking = Breaking(VirtualClock(), lasts_s=GOOD_RUN_S)
    assert await breaking.live(3.5 * GOOD_RUN_S) == [FIRST_PAUSE_S] * 3


async def test_a_loop_that_ends_is_not_begun_again():
    clock = VirtualClock()
    runs = []

    async def ends() -> None:
        runs.append(clock.now_ns())

    await tended("what ends", ends, clock, EventLog(clock))
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("part", "step", "what"),
    [
        ("nodes", "look", "watching of the nodes"),
        ("risks", "refresh", "reckoning of the risk"),
        ("loop_lag", "observe_ns", "measuring of the loop"),
    ],
)
async def test_a_fault_in_what_only_tells_is_an_alarm_and_not_the_engines_end(
    rig, monkeypatch, part, step, what
):
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(getattr(rig.parts, part), step, breaks)
    for loop in _telling(rig.parts):
        rig.spawn(loop)
    await rig.tick(6)
    danger = [event.text for event in rig.parts.events.latest(99) if event.level == "danger"]
    assert any(line.startswith(f"ERROR {what} broke (ZeroDivisionError)") for line in danger)
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.CONFIRMED]


async def test_who_lost_a_cancellation_on_the_way_is_cancelled_again(monkeypatch):
    monkeypatch.setattr(tending, "AGAIN_S", 0.01)
    lost = [0]

    async def loses_it() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost[0] += 1
                if lost[0] > 2:
                    raise

    task = asyncio.create_task(loses_it())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await cancelled([task])
    assert task.cancelled()
    assert lost == [3]


async def test_what_breaks_because_it_was_cancelled_is_not_begun_again():
    clock = VirtualClock()
    events = EventLog(clock)
    runs = []

    async def breaks_at_its_end() -> None:
        runs.append(clock.now_ns())
        if len(runs) > 1:
            return
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("of what was there before")

    task = asyncio.create_task(tended("what is cancelled", breaks_at_its_end, clock, events))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(2 * FIRST_PAUSE_S)  # were it begun again, it would have ended by now
    await asyncio.wait([task], timeout=20)
    assert len(runs) == 1
    assert task.cancelled()
    assert not events.latest(9)
