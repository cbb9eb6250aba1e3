"""Many at work at once, and the worst position of all never behind them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from simulated import Fate

from engine.domain import OutcomeClass

MILD_E6, WORSE_E6, WORST_E6 = 3_000 * 10**6, 2_950 * 10**6, 2_500 * 10**6
"""Collateral: at 58,000 all of them are liquidatable, the last has next to nothing left."""


def hang_the_disk(rig) -> asyncio.Event:
    """Intents are not durable before the event, except for the worst position's."""
    record, mended = rig.journal.record_intent, asyncio.Event()

    async def slow(intent):
        if rig.entry_of(intent.position).health_factor > 0.5:
            await mended.wait()
        await record(intent)

    rig.journal.record_intent = slow
    rig.entry_of = rig.parts.queue.get
    return mended


@pytest.mark.parametrize("workers", [2, 4])
async def test_with_all_workers_kept_waiting_the_newly_found_worst_leaves_at_once(bare, workers):
    bare.boot(WORKERS=str(workers))
    await bare.start()
    mended = hang_the_disk(bare)
    mild = [bare.open(collateral_e6=MILD_E6) for _ in range(10)]
    bare.price("BTC/USD", 58_000)
    await bare.settle()
    assert len(bare.parts.executor.hands) == workers  # the others wait in line, and one more hand is free
    worst = bare.open(collateral_e6=WORST_E6)
    await bare.settle()
    assert len(bare.wire.sent) == 1
    assert bare.entry(worst).stage == "sent"
    assert len(bare.parts.executor.hands) == workers
    mended.set()
    await bare.until(lambda: all(bare.ended(each)() for each in [worst, *mild]))
    assert [each.outcome for each in bare.outcomes()] == [OutcomeClass.CONFIRMED] * 11


async def test_the_worker_beyond_the_setting_is_not_for_what_is_less_urgent_than_all_that_is_at_work(bare):
    bare.boot(WORKERS="2")
    await bare.start()
    hang_the_disk(bare)
    for collateral_e6 in (WORSE_E6, WORSE_E6, MILD_E6):
        bare.open(collateral_e6=collateral_e6)
    bare.price("BTC/USD", 58_000)
    await bare.settle()
    at_work = [entry for entry in bare.parts.queue if entry.stage == "deciding"]
    assert [entry.health_factor for entry in at_work] == [at_work[0].health_factor] * 2
    (waiting,) = [entry for entry in bare.parts.queue if entry.stage == "queued"]
    assert waiting.health_factor > at_work[0].health_factor


async def test_a_single_worker_takes_whatever_comes(bare):
    bare.boot(WORKERS="1")
    await bare.start()
    positions = [bare.open() for _ in range(3)]
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: all(bare.ended(each)() for each in positions))
    assert len(bare.wire.sent) == 3


async def test_slow_sends_keep_no_worker(bare):
    bare.boot(WORKERS="2")
    await bare.start()
    bare.wire.fates = [Fate.HOLD] * 10
    slow = [bare.open() for _ in range(10)]
    bare.price("BTC/USD", 58_000)
    await bare.settle()
    assert bare.wire.waiting == 10
    assert len(bare.parts.executor.hands) == 0
    quick = bare.open()
    await bare.settle()
    assert len(bare.wire.sent) == 1
    bare.wire.connected.set()
    await bare.until(lambda: all(bare.ended(each)() for each in [quick, *slow]))


async def test_a_fault_in_sending_one_ends_neither_its_worker_nor_the_others(bare):
    bare.boot(WORKERS="2")
    await bare.start()
    bare.wire.fates = [Fate.BREAK]
    positions = [bare.open() for _ in range(5)]
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: all(bare.ended(each)() for each in positions))
    assert [each.outcome for each in bare.outcomes()] == [OutcomeClass.CONFIRMED] * 5
