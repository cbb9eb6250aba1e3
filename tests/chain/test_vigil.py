"""An idle engine that is kept awake: what it rehearses, that nothing comes of it, and when it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from simulated import VirtualClock

from engine.journal.journal import Journal
from engine.rehearsal import PRICES_GOOD_NS, Rehearsal
from engine.vigil import BUSY_S, REHEARSE_NS, Vigil


class Untouchable:
    """Fails whoever asks it anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a rehearsal asked for {name}")


async def rehearsed(clock: VirtualClock, folder: Path) -> tuple[Rehearsal, Journal]:
    journal = Journal.open(folder / "journal.db", "test", clock.now_ns)
    nobody: Any = Untouchable()
    rehearsal = Rehearsal(
        chain=nobody,
        journal=journal,
        tracker=nobody,
        clock=clock,
        believes=lambda _: False,
        node_is_current=lambda: False,
    )
    return rehearsal, journal


def hear(rehearsal: Rehearsal, pieces: int) -> None:
    """So many pieces of made-up news."""
    for _ in range(pieces):
        rehearsal.step()


async def test_every_second_step_of_a_rehearsal_goes_all_the_way_into_its_queue(tmp_path):
    clock = VirtualClock()
    rehearsal, journal = await rehearsed(clock, tmp_path)
    queued = []
    for _ in range(8):
        rehearsal.step()
        queued.append(rehearsal.queued)
    assert queued == [1, 1, 2, 2, 3, 3, 4, 4]
    assert journal.last_seq == 0
    await journal.close()


async def test_a_rehearsal_goes_on_when_its_prices_have_grown_old(tmp_path):
    clock = VirtualClock()
    rehearsal, journal = await rehearsed(clock, tmp_path)
    for pause_s in (0, PRICES_GOOD_NS / 1e9, 3_600):
        await clock.advance(pause_s)
        hear(rehearsal, 4)
    assert rehearsal.queued == 6
    await journal.close()


@pytest.mark.parametrize("pieces_before", range(4))
async def test_whatever_was_just_rehearsed_when_the_prices_grow_old_it_begins_anew(tmp_path, pieces_before):
    clock = VirtualClock()
    rehearsal, journal = await rehearsed(clock, tmp_path)
    hear(rehearsal, pieces_before)
    before = rehearsal.queued
    await clock.advance(PRICES_GOOD_NS / 1e9)
    hear(rehearsal, 4)
    assert rehearsal.queued - before == 2
    await journal.close()


class Watched:
    """A vigil, what it looks at, and how often it rehearsed."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.is_busy = False
        self.heard_ns = 0
        self.rehearsals = 0
        self.vigil = Vigil(
            self._rehearse, self.clock, is_busy=lambda: self.is_busy, heard_ns=lambda: self.heard_ns
        )

    def _rehearse(self) -> None:
        self.rehearsals += 1


async def test_an_idle_engine_turns_without_sleeping_and_rehearses_at_intervals():
    watched = Watched()
    for expected in (1, 1, 2, 2, 3, 3):
        assert watched.vigil.look() == 0.0
        assert watched.rehearsals == expected
        await watched.clock.advance(REHEARSE_NS / 2e9)


async def test_news_make_a_rehearsal_needless():
    watched = Watched()
    watched.heard_ns = watched.clock.now_ns()
    assert (watched.vigil.look(), watched.rehearsals) == (0.0, 0)
    await watched.clock.advance(REHEARSE_NS / 1e9)
    assert (watched.vigil.look(), watched.rehearsals) == (0.0, 1)


async def test_a_rehearsal_that_breaks_is_the_last_one_and_ends_nothing_else():
    watched = Watched()
    broken = [0]

    def breaks() -> None:
        broken[0] += 1
        raise ArithmeticError("in the middle of it")

    vigil = Vigil(breaks, watched.clock, is_busy=lambda: watched.is_busy, heard_ns=lambda: 0)
    for _ in range(3):
        assert vigil.look() == 0.0
        await watched.clock.advance(2 * REHEARSE_NS / 1e9)
    assert broken == [1]


async def test_while_something_is_at_work_the_engine_sleeps_and_rehearses_nothing():
    watched = Watched()
    watched.is_busy = True
    assert watched.vigil.look() == BUSY_S
    running = asyncio.ensure_future(watched.vigil.run())
    for _ in range(5):
        await watched.clock.advance(BUSY_S)
    assert set(watched.clock.slept_s) == {BUSY_S}
    assert watched.rehearsals == 0
    watched.is_busy = False
    await watched.clock.advance(BUSY_S)
    assert watched.rehearsals == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
