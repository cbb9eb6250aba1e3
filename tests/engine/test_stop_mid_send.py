"""A stop while thirty-two workers sign, journal, connect, write and wait: nothing leaves after it."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from simulated import Fate, VirtualClock

from engine.control import RUNNING, Gate, GateState, StaleResume
from engine.journal.records import OutboxKind

WORKERS = 32
STEPS = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]


@pytest.mark.parametrize("steps", STEPS)
async def test_nothing_leaves_after_the_acknowledgement_however_far_each_worker_is(bare, steps):
    bare.boot(WORKERS=str(WORKERS))
    await bare.start()
    bare.wire.fates = [Fate.HOLD, Fate.DELIVER, Fate.TIME_OUT, Fate.DROP] * WORKERS
    for _ in range(2 * WORKERS):
        bare.open()
    bare.price("BTC/USD", 58_000)
    for step in range(steps):
        # The journal works in a thread: now and then it gets the time for a commit.
        await asyncio.sleep(0.001 if step % 8 == 7 else 0)
    told = await bare.parts.commands.stop("ada", "now")
    sent = len(bare.wire.sent)
    assert told.startswith(f"Stopped: {len(bare.parts.tracker.out)} in flight")
    assert len(bare.parts.tracker.out) == sent
    bare.wire.connected.set()  # who waited for a connection has one now
    for _ in range(30):
        bare.keep_prices_fresh()
        await bare.tick()
    assert len(bare.wire.sent) == sent
    assert len(bare.recorded(OutboxKind.INTENT)) >= sent


async def test_the_steps_reach_from_before_the_first_write_to_many(bare):
    """What the steps above are good for: without a stop they lead from none sent to dozens."""
    bare.boot(WORKERS=str(WORKERS))
    await bare.start()
    for _ in range(2 * WORKERS):
        bare.open()
    bare.price("BTC/USD", 58_000)
    assert bare.wire.sent == []
    await bare.until(lambda: len(bare.wire.sent) >= WORKERS, slots=10)


async def test_stops_from_many_threads_at_once_are_one_stop(tmp_path):
    gate = open_gate(tmp_path)
    seen: list[GateState] = []
    together = threading.Barrier(16)

    def stop(number: int) -> None:
        together.wait()
        seen.append(gate.shut(f"thread {number}", "all at once"))
        gate.persist_and_wait(10)

    threads = [threading.Thread(target=stop, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(set(seen)) == 1
    assert gate.state.version == 2
    assert gate.is_persisted


async def test_a_stop_from_a_thread_wins_over_a_resume_whenever_it_comes(tmp_path):
    gate = open_gate(tmp_path)
    for _ in range(200):
        stopped = gate.shut("ada", "look")
        gate.persist_and_wait(10)
        resuming = asyncio.ensure_future(gate.resume("bob", "well", stopped.version))
        thread = threading.Thread(target=gate.shut, args=("eve", "no!"))
        await asyncio.sleep(0)
        thread.start()
        with contextlib.suppress(StaleResume):
            await resuming
        await asyncio.to_thread(thread.join)
        assert (gate.state.is_running, gate.state.by) == (False, "eve")
    gate.persist_and_wait(10)
    again = Gate.load(tmp_path / "gate.json", gate._clock, first_start=gate.state, has_history=True)
    assert again.state == gate.state


def open_gate(directory) -> Gate:
    first = GateState(1, RUNNING, "engine", 5, "first start")
    return Gate.load(directory / "gate.json", VirtualClock(), first_start=first, has_history=False)
