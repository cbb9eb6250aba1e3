"""kill -9 and SIGSTOP at random moments: each start settles what the last process left, nothing twice."""

from __future__ import annotations

import asyncio
import random
import signal
import time

import pytest
from arena import START_S, Arena
from chance import draws
from waiting import until
from witness import nothing_is_missing_or_twice, open_intents

CYCLES = 50
SHORTEST_WITH_FLIGHTS = 10


async def test_an_engine_killed_twice_in_the_middle_of_its_work_misses_nothing(arena: Arena) -> None:
    await arena.begin()
    for _ in range(2):
        await _kill_with_transactions_out(arena)
        await arena.start_engine()
        await arena.ready()
    await arena.liquidates(2)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


async def _kill_with_transactions_out(arena: Arena) -> None:
    engine = arena.engine
    assert engine is not None
    await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
    await engine.kill()
    assert open_intents(arena) > 0


@pytest.mark.faults
@pytest.mark.timeout(1500)
async def test_fifty_kills_at_random_moments_lose_nothing_and_send_nothing_twice(arena: Arena) -> None:
    chance = draws("kills")
    await arena.start_sandbox()
    await arena.let_prices_go()
    with_flights, phases = 0, set()
    for cycle in range(CYCLES):
        engine = await arena.start_engine()
        phases.add(await _let_it_live(arena, chance, cycle))
        assert engine.is_alive, f"cycle {cycle}: it ended by itself: {engine.said[-1500:]}"
        await engine.kill()
        with_flights += open_intents(arena) > 0
    print(f"kills with transactions out: {with_flights} of {CYCLES}; phases killed in: {sorted(phases)}")
    assert with_flights >= SHORTEST_WITH_FLIGHTS
    assert {"no answer yet", "ready"} <= phases
    await arena.start_engine()
    await arena.ready()
    await arena.liquidates(5)
    await arena.comes_to_rest()
    evidence = await nothing_is_missing_or_twice(arena, at_least=CYCLES)
    print(f"landed {evidence.landed}, outcomes {evidence.journal_outcomes}")


async def _let_it_live(arena: Arena, chance: random.Random, cycle: int) -> str:
    """A random while: from its first instruction on, or from when it is at work. Gives the phase then."""
    if chance.random() < 0.7:
        await arena.ready()
        life_s = chance.uniform(0.0, 1.5)
    else:
        life_s = chance.uniform(0.0, 3.0)
    await asyncio.sleep(life_s)  # the moment of the fault, not a wait for anything
    snapshot = await arena.snapshot()
    phase = "no answer yet" if snapshot is None else snapshot.engine.phase
    print(f"cycle {cycle}: {phase}, {life_s:.2f} s", flush=True)
    return phase


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_freezes_short_and_longer_than_a_blockhash_lives_change_nothing(arena: Arena) -> None:
    chance = draws("freezes")
    engine = await arena.begin()
    for _ in range(10):
        await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
        await arena.freeze(engine.process)
        await asyncio.sleep(chance.uniform(0.05, 1.5))  # the fault's own length
        arena.thaw(engine.process)
        await arena.liquidates(2)
    for _ in range(3):
        await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
        await arena.freeze(engine.process)
        await arena.outlive_blockhashes()
        arena.thaw(engine.process)
        thawed_s = time.time()
        await arena.until(
            "it looks around after the freeze",
            lambda seen, after_s=thawed_s: seen.taken_at_ns / 1e9 > after_s,
        )
        await arena.liquidates(5)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_start_that_is_killed_over_and_over_leaves_a_journal_that_the_next_one_reads(
    arena: Arena,
) -> None:
    chance = draws("starts")
    await arena.begin()
    await _kill_with_transactions_out(arena)
    left = open_intents(arena)
    for _ in range(10):
        engine = await arena.start_engine()
        begun_s = time.monotonic()
        latest_s = chance.uniform(0.1, 2.5)

        async def is_time(since_s: float = begun_s, for_s: float = latest_s) -> bool:
            return time.monotonic() - since_s >= for_s

        await until("the moment of the kill", is_time, START_S)
        engine.process.send_signal(signal.SIGKILL)
        await engine.ended()
    assert left > 0
    await arena.start_engine()
    await arena.ready()
    await arena.liquidates(5)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)
