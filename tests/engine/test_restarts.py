"""What a restart makes of what was signed before: nothing is lost, sent twice or decided too early."""

from __future__ import annotations

from simulated import Fate

from engine.chain.port import RpcFailure
from engine.domain import OutcomeClass
from engine.journal.records import OutboxKind
from engine.liquidation.queue import Stage


async def restarted(rig, *, wait: bool = True, **environment: str):
    """The process dies where it is, and another one starts on what is on disk."""
    await rig.kill()
    rig.chain.asked.clear()
    rig.boot(**environment)
    await rig.start(wait=wait)
    return rig


async def test_an_intent_that_landed_while_no_engine_ran_is_recorded_before_the_first_decision(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    await rig.kill()
    for _ in range(40):
        rig.ledger.advance_slot()
    rig.boot()
    enabled_at = []
    record = rig.journal.record_outcome

    async def look(outcome):
        enabled_at.append(rig.parts.detector.enabled)
        return await record(outcome)

    rig.journal.record_outcome = look
    await rig.start()
    await rig.until(rig.outcomes)
    assert enabled_at == [False]
    assert rig.outcomes()[0].signature == flight.intent.signature
    assert rig.outcomes()[0].outcome is OutcomeClass.CONFIRMED
    assert rig.wire.sent == []
    await rig.until(rig.ended(position))


async def test_an_intent_that_failed_while_no_engine_ran_is_recorded_with_its_fee(rig):
    position, _ = await rig.in_flight()
    raw = rig.wire.sent[0]
    rig.price("BTC/USD", 60_000)
    await rig.kill()
    rig.ledger.submit(raw, skip_preflight=True)
    for _ in range(40):
        rig.ledger.advance_slot()
    rig.boot()
    await rig.start()
    await rig.until(rig.outcomes)
    (outcome,) = rig.outcomes()
    assert outcome.outcome is OutcomeClass.HEALTHY_AGAIN
    assert outcome.fee_lamports > 0
    await rig.until(rig.ended(position))


async def test_an_intent_that_can_land_no_more_is_proven_expired_and_then_tried_afresh(rig):
    position, flight = await rig.in_flight()
    await rig.kill()
    for _ in range(250):
        rig.ledger.advance_slot()
    await rig.clock.advance(100)
    rig.boot()
    rig.write_price("BTC/USD", 58_000)
    rig.write_price("SOL/USD", 150)
    await rig.start()
    await rig.until(lambda: rig.wire.sent)
    rig.keep_prices_fresh()
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [
        OutcomeClass.BLOCKHASH_EXPIRED,
        OutcomeClass.CONFIRMED,
    ]
    assert flight.intent.signature not in rig.wire.signatures


async def test_an_intent_that_may_still_land_blocks_its_position_and_goes_out_again_unchanged(rig):
    position, flight = await rig.in_flight()
    await restarted(rig)
    assert rig.entry(position).stage is Stage.SENT
    assert rig.parts.tracker.out[0].intent == flight.intent
    await rig.until(lambda: rig.wire.sent)
    await rig.until(rig.ended(position))
    assert set(rig.wire.signatures) == {flight.intent.signature}
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED]
    assert rig.parts.latencies.detect_to_confirm.count == 0  # the time that nobody ran is no latency


async def test_a_restart_between_the_intent_and_its_bytes_neither_sends_it_nor_signs_another(rig):
    async def die(*_):
        raise SystemError("the process dies here")

    rig.wire.send = die
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.journal.open_intents)
    (intent,) = rig.journal.open_intents()
    await restarted(rig)
    await rig.tick(50)
    assert rig.wire.sent == []
    assert rig.journal.open_intents() == [intent]
    assert rig.entry(position) is not None


async def test_nothing_is_decided_while_the_node_does_not_answer_for_the_open_intents(rig):
    await rig.in_flight()
    rig.open()
    await rig.kill()
    rig.boot()
    opened = rig.recorded(OutboxKind.INTENT)  # of the second position, too, if the disk was quick enough
    rig.chain.faults.failing["statuses"] = RpcFailure("node error")
    await rig.start(wait=False)
    await rig.tick(20)
    assert rig.parts.phase.name == "reconciling"
    assert rig.recorded(OutboxKind.INTENT) == opened
    assert not rig.parts.detector.enabled
    (reconciled, *_) = rig.parts.commands.resume_checks()
    assert (reconciled.ok, reconciled.required) == (False, True)
    rig.chain.faults.failing.clear()
    await rig.until(lambda: rig.parts.detector.enabled and len(rig.recorded(OutboxKind.INTENT)) == 2)


async def test_an_intent_whose_transaction_cannot_be_read_does_not_keep_the_engine_from_starting(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    rig.chain.faults.unread.add(flight.intent.signature)
    await rig.kill()
    for _ in range(40):
        rig.ledger.advance_slot()
    rig.boot()
    await rig.start()
    assert rig.parts.phase.name == "ready"
    assert position.address in rig.parts.queue
    rig.chain.faults.unread.clear()
    await rig.until(rig.ended(position))
    assert len(rig.outcomes()) == 1


async def test_an_engine_that_was_stopped_is_stopped_after_a_restart_and_sends_nothing_of_before(rig):
    await rig.in_flight()
    for _ in range(5):
        rig.open()
    await rig.parts.commands.stop("ada", "now")
    await restarted(rig)
    assert not rig.gate.state.is_running
    assert rig.gate.state.by == "ada"
    for dollars in (57_500, 57_000, 56_500):
        rig.price("BTC/USD", dollars)
        await rig.tick(20)
    assert rig.wire.sent == []
    await rig.parts.commands.resume("bob", "go on", rig.gate.state.version)
    rig.keep_prices_fresh()
    await rig.until(lambda: len(rig.wire.sent) >= 5)


async def test_a_failed_liquidation_is_on_the_list_after_a_restart_and_goes_on_under_its_id(rig):
    position, failed = await rig.given_up()
    await restarted(rig)
    assert rig.parts.failures.get(failed.liquidation_id) == failed
    assert rig.parts.failures.rows == [], "it is in the queue, and nowhere else"
    await rig.until(rig.ended(position))
    assert len(rig.parts.failures) == 0
    assert rig.recorded(OutboxKind.INTENT)[0]["liquidation_id"] == failed.liquidation_id
