"""The slot clock: when the leader works, how slots keep their time, and what is said when they cannot."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.slot_clock import SlotClock

if TYPE_CHECKING:
    from conftest import Town

HOUR_MS = 3_600_000


def queue(town: Town, leader: Leader) -> Any:
    """A payment that waits in the leader's pool: its signature."""
    transaction = town.sign(town.pay(Pubkey.new_unique(), 1_000_000))
    return leader.take_in(bytes(transaction), skip_preflight=True)


async def test_what_waits_runs_within_the_slot_though_it_does_not_end(town: Town, eventually: Any) -> None:
    leader = Leader(town.ledger)
    clock = SlotClock(leader, HOUR_MS, [])
    clock.start()
    await eventually(lambda: clock.slots == 1)
    slot, signature = town.ledger.slot, queue(town, leader)
    assert signature not in town.ledger.history
    await eventually(lambda: signature in town.ledger.history)
    assert town.ledger.slot == slot
    await clock.stop()


async def test_without_work_between_slots_it_runs_right_before_the_slot_closes(
    town: Town, eventually: Any
) -> None:
    leader = Leader(town.ledger)
    clock = SlotClock(leader, 150, [])
    clock.work_between_slots = False
    landed_in: list[int] = []
    clock.start()
    await eventually(lambda: clock.slots == 1)
    slot, signature = town.ledger.slot, queue(town, leader)
    while town.ledger.slot == slot:
        landed_in.append(signature in town.ledger.history)
        await asyncio.sleep(0.005)
    assert not any(landed_in)
    landed = town.ledger.history.get(signature)
    assert landed is not None
    assert landed.slot == slot
    await clock.stop()


async def test_a_slot_that_is_late_is_counted_and_told_once_in_a_while(town: Town, eventually: Any) -> None:
    def hold_up(_ledger: object) -> None:
        time.sleep(0.03)

    clock = SlotClock(Leader(town.ledger), 10, [hold_up])
    with capture_logs() as logged:
        clock.start()
        await eventually(lambda: clock.late_slots >= 3)
        await clock.stop()
    assert clock.worst_lateness_ms > 15
    assert [entry["event"] for entry in logged] == [
        "slots lag behind their time: the host is too slow for this load"
    ]


async def test_slots_in_time_are_not_counted_as_late(town: Town, eventually: Any) -> None:
    clock = SlotClock(Leader(town.ledger), 400, [])
    clock.start()
    await eventually(lambda: clock.slots == 3)
    await clock.stop()
    assert clock.late_slots == 0


async def test_a_leader_that_fails_halts_the_ledger(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Leader(town.ledger)
    clock = SlotClock(leader, HOUR_MS, [])

    def fail() -> None:
        raise RuntimeError("the pool broke")

    monkeypatch.setattr(leader, "work", fail)
    with capture_logs() as logged:
        clock.start()
        with pytest.raises(RuntimeError, match="the pool broke"):
            await clock.wait()
    assert town.ledger.halted
    assert logged[0]["event"] == "slots have stopped"
    await clock.stop()
