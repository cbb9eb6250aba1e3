"""The machine's clock jumps while the engine runs, by seconds to hours: held visibly, never wrongly sent, and
over when the clock is right again.
"""

from __future__ import annotations

import time

import asyncpg
import pytest
from arena import Arena
from clock import MovedClock
from witness import nothing_is_missing_or_twice

from engine.api import wire

SECOND, MINUTE, HOUR = 1, 60, 3600
SMALL = [2 * SECOND, -2 * SECOND, 20 * SECOND, -20 * SECOND]
LARGE = [5 * MINUTE, -5 * MINUTE, 3 * HOUR, -3 * HOUR, 26 * HOUR]
TOLERANCE_S = 1.5


@pytest.fixture
def clock(arena: Arena) -> MovedClock:
    """The clock of an engine, at first the machine's."""
    return MovedClock(arena.home)


def _is_off(seen: wire.Snapshot, seconds: int) -> bool:
    return abs(seen.taken_at_ns / 1e9 - time.time() - seconds) < TOLERANCE_S


async def _jump(arena: Arena, clock: MovedClock, seconds: int) -> None:
    clock.move(seconds)
    await arena.until(f"its clock is {seconds} s off", lambda seen: _is_off(seen, seconds))


def _holds_all_prices(seen: wire.Snapshot) -> bool:
    return all(row.verdict == "stale" for row in seen.prices)


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_jumps_of_seconds_change_nothing(arena: Arena, clock: MovedClock) -> None:
    engine = await arena.begin(**clock.settings)
    for seconds in SMALL:
        await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
        await _jump(arena, clock, seconds)
        seen = await arena.liquidates(5)
        assert not any("stale" in line for line in seen.engine.degraded)
        clock.move(0)
        await arena.liquidates(3)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", LARGE)
async def test_a_jump_of_minutes_or_hours_holds_everything_visibly_until_the_clock_is_right(
    seconds: int, arena: Arena, clock: MovedClock
) -> None:
    engine = await arena.begin(**clock.settings)
    await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
    await _jump(arena, clock, seconds)
    seen = await arena.until("every price is held", _holds_all_prices)
    assert sum("stale" in line for line in seen.engine.degraded) >= 3
    await arena.until(
        "what was out has ended", lambda seen: not seen.in_flight or not _holds_all_prices(seen), 90
    )
    signed = await _intents(arena)
    await arena.outlive_blockhashes()
    assert await _intents(arena) == signed
    clock.move(0)
    await arena.liquidates(5)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


async def _intents(arena: Arena) -> int:
    """How many transactions were ever signed and shipped."""
    await arena.until("everything is shipped", lambda seen: not seen.database.backlog)
    connection = await asyncpg.connect(arena.settings["DATABASE_URL"], timeout=20)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM intents"))
    finally:
        await connection.close(timeout=5)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [-3 * HOUR, 3 * HOUR])
async def test_a_start_on_a_wrong_clock_settles_what_the_last_process_left(
    seconds: int, arena: Arena, clock: MovedClock
) -> None:
    engine = await arena.begin(**clock.settings)
    await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
    await engine.kill()
    clock.move(seconds)
    await arena.start_engine(**clock.settings)
    await arena.ready()
    await arena.until(
        "what was out is settled", lambda seen: not seen.in_flight and _holds_all_prices(seen), 90
    )
    clock.move(0)
    await arena.liquidates(5)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)
