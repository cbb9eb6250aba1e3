"""A transaction that is final and that no node shows: told, never guessed at, and holding nobody for ever."""

from __future__ import annotations

from simulated import Fate

from engine.chain.port import Level
from engine.domain import OutcomeClass
from engine.journal.records import OutboxKind
from engine.liquidation.tracker import UNREAD_NS


async def unread(rig):
    """A partial liquidation that is final and that the node does not show; the price falls on."""
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.sent)
    (signature,) = rig.wire.signatures
    rig.chain.faults.unread.add(signature)
    await rig.until(lambda: rig.parts.tracker.unread)
    return position, signature


async def test_its_position_waits_until_nothing_of_it_can_land_and_then_goes_on_without_a_guess(rig):
    position, signature = await unread(rig)
    (flight,) = rig.parts.tracker.unread
    last_valid = flight.intent.last_valid_block_height
    rig.price("BTC/USD", 57_000)
    while len(rig.wire.signatures) == 1:
        rig.keep_prices_fresh()
        await rig.tick()
        assert rig.clock.monotonic_ns() < 200 * 10**9, "its position is held for ever"
    assert rig.chain._height(Level.FINALIZED) > last_valid
    assert rig.outcomes() == []
    assert [intent.signature for intent, _ in rig.journal.owed()] == [signature]
    danger = [event.text for event in rig.parts.events.latest(100) if event.level == "danger"]
    assert any(str(signature) in text for text in danger)
    rig.keep_prices_fresh()
    await rig.until(rig.outcomes)
    rig.chain.faults.unread.clear()
    await rig.until(lambda: len(rig.outcomes()) == 2, slots=100)
    owed = rig.journal.attempts_of(position.address, 5)[-1][1]
    assert (owed.signature, owed.outcome) == (signature, OutcomeClass.CONFIRMED)
    assert owed.liquidated_size_e6 > 0
    assert rig.journal.owed() == []
    assert len(rig.parts.tracker) == 0


async def test_while_it_could_still_land_by_the_finalized_height_its_position_waits_however_long(rig):
    _, signature = await unread(rig)
    (flight,) = rig.parts.tracker.unread
    rig.chain.faults.finalized_height = flight.intent.last_valid_block_height
    rig.price("BTC/USD", 57_000)
    for _ in range(250):
        rig.keep_prices_fresh()
        await rig.tick()
    assert rig.wire.signatures == [signature]
    assert rig.journal.open_intents() == [flight.intent]
    rig.chain.faults.finalized_height += 1
    rig.keep_prices_fresh()
    await rig.until(lambda: len(rig.wire.signatures) == 2, slots=100)


async def test_it_was_final_when_a_status_first_said_so_however_late_it_is_read(rig):
    _, signature = await unread(rig)
    (flight,) = rig.parts.tracker.unread
    seen_at_ns = rig.clock.now_ns()
    await rig.tick(50)
    rig.chain.faults.unread.clear()
    await rig.until(rig.outcomes)
    (outcome,) = rig.outcomes()
    assert outcome.signature == signature
    assert outcome.finalized_at_ns == flight.finalized_at_ns <= seen_at_ns


async def test_it_is_asked_for_less_and_less_often(rig):
    await unread(rig)
    rig.chain.asked.clear()
    await rig.tick(25)
    soon = rig.chain.asked.count("transaction")
    await rig.tick(250)
    rig.chain.asked.clear()
    await rig.tick(25)
    assert soon > 2 * rig.chain.asked.count("transaction")


async def test_it_stands_in_the_snapshot_until_it_was_read(rig):
    await unread(rig)
    await rig.tick(5)
    degraded = rig.parts.snapshots.take().engine.degraded
    assert any("1 final transaction cannot be read" in line for line in degraded)
    rig.chain.faults.unread.clear()
    await rig.until(rig.outcomes)
    degraded = rig.parts.snapshots.take().engine.degraded
    assert not any("cannot be read" in line for line in degraded)


async def test_it_is_still_asked_for_after_a_restart_and_holds_nothing_up(rig):
    position, signature = await unread(rig)
    rig.wire.fate = Fate.DROP
    rig.price("BTC/USD", 59_500)  # nobody is liquidatable meanwhile
    await rig.until(rig.journal.owed)
    assert rig.clock.monotonic_ns() >= UNREAD_NS
    await rig.kill()
    rig.chain.asked.clear()
    rig.boot()
    await rig.start()
    assert rig.parts.phase.name == "ready"
    assert position.address not in rig.parts.queue
    assert rig.journal.open_intents() == []
    rig.chain.faults.unread.clear()
    await rig.until(lambda: not rig.journal.owed(), slots=100)
    (row,) = rig.recorded(OutboxKind.OUTCOME)
    assert row["signature"] == str(signature)
    assert row["finalized_at_ns"] < rig.clock.now_ns() - UNREAD_NS // 2
    assert rig.parts.tally.partial == 1
