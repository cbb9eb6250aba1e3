"""What never leaves: the healthy, the unknown, the stale, and everything after a stop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulated import START_NS, Fate
from solders.account import Account

from engine.domain import OutcomeClass, Verdict
from engine.journal.records import OutboxKind
from engine.liquidation.queue import Stage
from engine.protocol.addresses import PROGRAM_ID


async def test_a_healthy_position_is_never_submitted(rig):
    rig.open(collateral_e6=4_000 * 10**6)
    for dollars in (60_000, 59_000, 58_000, 57_500):
        rig.price("BTC/USD", dollars)
        await rig.tick(3)
    assert rig.wire.sent == []


@pytest.mark.parametrize(
    "changes", [{"conf": 10**13}, {"price": -1}, {"publish_time_s": START_NS // 10**9 + 100}]
)
async def test_a_position_whose_price_may_not_be_used_is_never_submitted(rig, changes):
    rig.open()
    rig.price("BTC/USD", 58_000, **changes)
    await rig.tick(5)
    assert rig.parts.board.current("BTC/USD").verdict is not Verdict.OK
    assert rig.wire.sent == []


async def test_a_price_that_has_grown_stale_in_the_queue_keeps_the_position_from_being_submitted(rig):
    await rig.gate.stop("ada", "wait")
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.clock.advance(61)
    await rig.gate.resume("ada", "go", rig.gate.state.version)
    await rig.tick(5)
    assert rig.wire.sent == []
    assert len(rig.parts.queue) == 0


async def test_a_price_that_jumps_is_acted_on_only_after_two_further_updates(rig):
    rig.open()
    for _ in range(2):
        rig.price("BTC/USD", 40_000)
        await rig.tick(2)
        assert rig.wire.sent == []
    rig.price("BTC/USD", 40_000)
    await rig.until(lambda: rig.wire.sent)


async def test_a_position_whose_account_cannot_be_read_is_not_submitted(rig):
    position = rig.open()
    await rig.gate.stop("ada", "wait")
    rig.price("BTC/USD", 58_000)
    data = bytes(rig.on_chain(position).data)
    rig.ledger.set_account(position.address, Account(10**7, data[:60], PROGRAM_ID))
    await rig.gate.resume("ada", "go", rig.gate.state.version)
    await rig.tick(5)
    assert rig.wire.sent == []
    assert rig.parts.holdings.book.unknown_reason(position.address) == "truncated"
    assert "cannot be read" in " ".join(event.text for event in rig.parts.events.latest(3))


async def test_the_account_is_read_again_just_before_and_one_that_became_healthy_is_dropped(rig):
    position = rig.open()
    await rig.gate.stop("ada", "wait")
    rig.price("BTC/USD", 58_000)
    rig.write(replace(position, collateral_e6=9_000 * 10**6))  # and no notification came
    await rig.gate.resume("ada", "go", rig.gate.state.version)
    await rig.tick(3)
    assert rig.wire.sent == []
    assert position.address not in rig.parts.queue


async def test_a_position_that_somebody_else_liquidated_before_us_costs_nothing(rig):
    position = rig.open()
    await rig.gate.stop("ada", "wait")
    rig.price("BTC/USD", 58_000)
    rig.close(position.address, tell=False)
    await rig.gate.resume("ada", "go", rig.gate.state.version)
    await rig.tick(3)
    assert rig.wire.sent == []
    assert rig.ended(position)()
    assert position.address not in rig.parts.holdings.book


async def test_a_position_that_recovers_while_the_journal_writes_is_not_sent(rig):
    position = rig.open()
    record = rig.journal.record_intent

    async def slow(intent):
        await record(intent)
        rig.price("BTC/USD", 60_000)

    rig.journal.record_intent = slow
    rig.price("BTC/USD", 58_000)
    await rig.tick(3)
    assert rig.wire.sent == []
    rig.journal.record_intent = record
    await rig.until(rig.ended(position))
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.BLOCKHASH_EXPIRED]


async def test_nothing_is_signed_on_a_node_that_announces_no_new_slots(rig):
    rig.open()
    await rig.clock.advance(6)
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    assert rig.recorded(OutboxKind.INTENT) == []


@pytest.mark.parametrize("changes", [{"conf": 10**12}, {"price": -1}])
async def test_while_the_program_would_refuse_the_price_of_sol_all_wait_without_an_attempt(rig, changes):
    rig.open()
    rig.price("SOL/USD", 150, **changes)
    rig.price("BTC/USD", 58_000)
    await rig.tick(20)
    assert rig.recorded(OutboxKind.INTENT) == []
    assert [(entry.stage, entry.attempt) for entry in rig.parts.queue] == [(Stage.QUEUED, 1)]
    assert rig.parts.failures.rows == []
    told = "; ".join(rig.parts.snapshots.take().engine.degraded)
    assert "nothing is sent: SOL/USD is" in told
    rig.price("SOL/USD", 150)
    await rig.until(lambda: rig.wire.sent)
    assert "nothing is sent" not in "; ".join(rig.parts.snapshots.take().engine.degraded)


# --- the stop ---


async def test_after_a_stop_nothing_leaves_although_the_market_falls_on(rig):
    for _ in range(10):
        rig.open()
    await rig.parts.commands.stop("ada", "now")
    for dollars in range(59_000, 56_000, -300):
        rig.price("BTC/USD", dollars)
        await rig.tick(3)
    assert rig.wire.sent == []
    assert rig.recorded(OutboxKind.INTENT) == []
    assert len(rig.parts.queue) == 10


async def test_after_a_stop_no_lost_bytes_are_sent_again_and_the_flight_is_followed_to_its_end(rig):
    rig.wire.fate = Fate.DROP
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: len(rig.wire.sent) == 2)
    told = await rig.parts.commands.stop("ada", "now")
    assert told.startswith("Stopped: 1 in flight, none can land after block ")
    sent = len(rig.wire.sent)
    await rig.until(rig.outcomes)
    assert rig.outcomes()[0].outcome is OutcomeClass.BLOCKHASH_EXPIRED
    await rig.tick(50)
    assert len(rig.wire.sent) == sent
    assert rig.entry(position).stage in (Stage.QUEUED, Stage.WAITING)


async def test_a_stop_while_the_journal_writes_keeps_the_bytes_here_and_the_intent_expires(rig):
    record = rig.journal.record_intent

    async def stopped_meanwhile(intent):
        await record(intent)
        await rig.gate.stop("ada", "now")

    rig.journal.record_intent = stopped_meanwhile
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: not rig.gate.state.is_running)
    await rig.tick(5)
    assert rig.wire.sent == []
    assert rig.parts.tracker.out == []
    await rig.gate.resume("ada", "go", rig.gate.state.version)
    await rig.tick(20)
    assert rig.wire.sent == [], "it was decided on a price of before the stop"
    await rig.until(rig.outcomes)
    assert rig.outcomes()[0].outcome is OutcomeClass.BLOCKHASH_EXPIRED


async def test_a_stop_while_sends_wait_for_a_connection_keeps_them_all_back(bare):
    bare.boot(WORKERS="16")
    await bare.start()
    bare.wire.fate = Fate.HOLD
    for _ in range(16):
        bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: bare.wire.waiting == 16)
    await bare.parts.commands.stop("ada", "now")
    bare.wire.connected.set()
    await bare.tick(10)
    assert bare.wire.sent == []


async def test_a_resumed_engine_liquidates_what_waited(rig):
    position = rig.open()
    await rig.parts.commands.stop("ada", "now")
    rig.price("BTC/USD", 58_000)
    await rig.tick(5)
    await rig.parts.commands.resume("ada", "all well", rig.gate.state.version)
    await rig.until(rig.ended(position))
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.CONFIRMED]
