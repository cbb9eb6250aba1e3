"""Giving up: after how many attempts, with what history, for how long, and what ends it."""

from __future__ import annotations

import pytest
from simulated import Fate

from engine.chain.port import RpcFailure
from engine.domain import OutcomeClass
from engine.journal.records import FailedStatus, OutboxKind
from engine.liquidation.failures import LONGEST_REST_S, REST_S
from engine.liquidation.queue import Entry


def hopeless(rig):
    """Its bad debt is no u64 of lamports: the program answers Overflow, whatever is paid for asking."""
    position = rig.open(
        size_e6=2**64 - 1,
        entry_price_e6=10**9,
        collateral_e6=1,
        leverage=1000,
        symbol="SOL/USD",
        maintenance_margin_e6=1,
    )
    rig.keep_prices_fresh()
    return position


async def rest_of(rig, address) -> int:
    """How many seconds it is left alone."""
    rested_s = 0
    while rig.parts.failures.is_resting(address):
        await rig.clock.advance(1)
        rested_s += 1
    return rested_s


def entry_of(position) -> Entry:
    return Entry(position.address, position.owner, "BTC/USD", "id", 0.5, 1, None, 1, 1)


@pytest.mark.parametrize(
    ("outcome", "rest_s"),
    [
        (OutcomeClass.NODE_ERROR, 5),
        (OutcomeClass.TIMEOUT, 5),
        (OutcomeClass.BLOCKHASH_EXPIRED, 5),
        (OutcomeClass.STALE_PRICE, 5),
        (OutcomeClass.EXCEEDED_CUS, REST_S),
        (OutcomeClass.INSUFFICIENT_FUNDS, REST_S),
        (OutcomeClass.PROGRAM_ERROR, REST_S),
    ],
)
async def test_each_class_has_its_cooldown(rig, outcome, rest_s):
    position = rig.open()
    await rig.parts.failures.add(entry_of(position), outcome, "message")
    assert await rest_of(rig, position.address) == rest_s


async def test_refusals_of_the_program_rest_twice_as_long_each_time_up_to_an_hour_and_success_clears(rig):
    position = rig.open()
    rests = []
    for _ in range(9):
        await rig.parts.failures.add(entry_of(position), OutcomeClass.PROGRAM_ERROR, "message")
        rests.append(await rest_of(rig, position.address))
    assert rests == [REST_S * 2**number for number in range(7)] + [LONGEST_REST_S] * 2
    await rig.parts.failures.resolve_position(position.address)
    await rig.parts.failures.add(entry_of(position), OutcomeClass.PROGRAM_ERROR, "message")
    assert await rest_of(rig, position.address) == REST_S


async def test_a_failure_keeps_how_each_of_its_attempts_ended_signed_or_not_and_across_restarts(bare):
    bare.boot(RETRY_ATTEMPTS="2")
    await bare.start()
    bare.wire.fate = Fate.HOLD
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: bare.wire.waiting)
    bare.write_price("BTC/USD", 58_000, publish_time_s=bare.clock.now_ns() // 10**9 - 100)
    bare.wire.connected.set()
    await bare.until(bare.outcomes)
    bare.chain.faults.failing["accounts"] = RpcFailure("timeout after 5.0 s", is_timeout=True)
    await bare.until(lambda: bare.parts.failures.rows)
    (failed,) = bare.parts.failures.rows
    assert [each.outcome for each in failed.history] == [OutcomeClass.STALE_PRICE, OutcomeClass.TIMEOUT]
    assert [each.attempt for each in failed.history] == [1, 2]
    assert [each.signature for each in failed.history] == [bare.outcomes()[0].signature, None]
    (row,) = bare.parts.snapshots.take().failed
    assert [each.outcome for each in row.history] == ["stale price", "timeout"]
    await bare.kill()
    bare.boot()
    assert bare.journal.failed() == [failed]
    assert failed.position == position.address


async def test_what_can_never_succeed_costs_one_fee_and_no_second_attempt(rig):
    position = hopeless(rig)
    await rig.until(lambda: rig.parts.failures.rows, slots=100)
    (failed,) = rig.parts.failures.rows
    assert (failed.attempts, failed.outcome) == (1, OutcomeClass.PROGRAM_ERROR)
    assert "Overflow (6006)" in failed.error_message
    assert len(rig.recorded(OutboxKind.INTENT)) == 1
    assert rig.parts.failures.is_resting(position.address)


async def test_a_changed_account_ends_a_long_rest_but_never_the_first_half_minute(rig):
    position = rig.open()
    for _ in range(4):
        await rig.parts.failures.add(entry_of(position), OutcomeClass.PROGRAM_ERROR, "message")
    rig.tell(position.address)
    rig.write(position)
    await rig.tick()
    rig.tell(position.address)  # at a newer slot: its account changed
    assert await rest_of(rig, position.address) <= REST_S
    for _ in range(4):
        await rig.parts.failures.add(entry_of(position), OutcomeClass.PROGRAM_ERROR, "message")
    assert await rest_of(rig, position.address) > 10 * REST_S, "its refusals still count"


async def test_a_dismissed_failure_leaves_the_list_and_goes_on_resting(rig):
    position, failed = await rig.given_up()
    await rig.parts.failures.change(failed.liquidation_id, FailedStatus.DISMISSED)
    assert rig.parts.failures.rows == []
    rig.price("BTC/USD", 57_990)
    assert position.address not in rig.parts.queue
    await rig.clock.advance(6)
    await rig.tick()
    rig.keep_prices_fresh()
    await rig.until(lambda: rig.wire.sent)


async def test_an_operators_retry_does_not_wait_for_the_rest(rig):
    position, failed = await rig.given_up()
    rig.keep_prices_fresh()
    assert rig.parts.failures.is_resting(position.address)
    await rig.finish(rig.parts.commands.retry("ada", failed.liquidation_id))
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.NEVER_SENT, OutcomeClass.CONFIRMED]
    assert len(rig.parts.failures) == 0


async def test_the_engine_itself_tries_again_with_the_next_price_after_the_rest(rig):
    position, failed = await rig.given_up()
    rig.price("BTC/USD", 57_950)
    assert rig.entry(position) is None
    assert [each.liquidation_id for each in rig.parts.failures.rows] == [failed.liquidation_id]
    await rig.clock.advance(6)
    await rig.tick()
    rig.price("BTC/USD", 57_900)
    assert rig.parts.failures.rows == []
    await rig.until(lambda: rig.outcomes() and rig.ended(position)())
    assert rig.recorded(OutboxKind.INTENT)[0]["liquidation_id"] == failed.liquidation_id
    assert rig.recorded(OutboxKind.FAILED)[-1]["status"] == "resolved"


async def test_an_expired_one_is_signed_anew_for_twice_the_fee_of_the_first(bare):
    bare.boot(PRIORITY_FEE_MICROLAMPORTS="1000")
    await bare.start()
    bare.wire.fate = Fate.DROP
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: bare.wire.sent)
    while not bare.outcomes():
        bare.keep_prices_fresh()
        await bare.tick()
    bare.wire.fate = Fate.DELIVER
    bare.keep_prices_fresh()
    await bare.until(bare.ended(position))
    assert [each.outcome for each in bare.outcomes()] == [
        OutcomeClass.BLOCKHASH_EXPIRED,
        OutcomeClass.CONFIRMED,
    ]
    first, second = bare.recorded(OutboxKind.INTENT)
    assert int(second["priority_fee_microlamports"]) == 2 * int(first["priority_fee_microlamports"])
    assert first["blockhash"] != second["blockhash"]


async def test_a_transaction_that_a_fork_confirms_twice_is_one_latency(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.parts.tracker.confirmed)
    (flight,) = rig.parts.tracker.flights
    rig.chain.faults.hidden.add(flight.intent.signature)
    await rig.until(lambda: flight.status is None)
    rig.chain.faults.hidden.clear()
    await rig.until(rig.ended(position))
    assert rig.parts.latencies.submit_to_confirm.count == 1
    assert rig.parts.latencies.detect_to_confirm.count == 1
    assert rig.parts.tally.attempts == 1
