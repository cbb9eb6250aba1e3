"""Following what is signed: when it is final, when it has expired, and who may tell of it before."""

from __future__ import annotations

import pytest
from simulated import Fate
from solders.signature import Signature

from engine.chain.port import RpcFailure
from engine.domain import OutcomeClass
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind
from engine.liquidation.queue import Stage

# --- the end ---


async def test_nothing_is_final_before_it_is_finalized(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    await rig.until(lambda: rig.entry(position).stage is Stage.LANDED)
    assert rig.journal.open_intents() == [flight.intent]
    await rig.tick(25)
    assert rig.journal.open_intents() == [flight.intent]
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert outcome.submitted_at_ns < outcome.confirmed_at_ns < outcome.finalized_at_ns


async def test_an_expiry_needs_the_finalized_height_first_and_then_a_search_of_the_history(rig):
    _, flight = await rig.in_flight()
    last = flight.intent.last_valid_block_height
    rig.chain.faults.finalized_height = last
    await rig.gate.stop("ada", "send no more")
    await rig.tick(5)
    assert rig.journal.open_intents() == [flight.intent], "at the last valid height it may still land"
    assert "statuses+history" not in rig.chain.asked
    rig.chain.faults.finalized_height = last + 1
    rig.chain.asked.clear()
    await rig.tick()
    asked = [each for each in rig.chain.asked if each.startswith(("block_height FIN", "statuses"))]
    assert asked == ["statuses", "block_height FINALIZED", "statuses+history"]
    assert rig.outcomes()[0].outcome is OutcomeClass.BLOCKHASH_EXPIRED
    assert not rig.outcomes()[0].landed
    assert rig.outcomes()[0].fee_lamports == 0


@pytest.mark.parametrize("method", ["block_height FINALIZED", "statuses", "statuses+history"])
async def test_while_the_node_does_not_answer_nothing_is_taken_for_expired(rig, method):
    _, flight = await rig.in_flight()
    await rig.gate.stop("ada", "send no more")
    rig.chain.faults.finalized_height = flight.intent.last_valid_block_height + 1
    rig.chain.faults.failing[method] = RpcFailure("timeout", is_timeout=True)
    await rig.tick(10)
    assert rig.journal.open_intents() == [flight.intent]
    rig.chain.faults.failing.clear()
    await rig.tick()
    assert rig.journal.open_intents() == []


async def test_one_that_the_history_knows_has_not_expired_although_the_height_is_past(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    rig.chain.faults.finalized_height = flight.intent.last_valid_block_height + 1
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED]


async def test_the_same_bytes_go_out_every_second_and_a_half_and_no_sooner(rig):
    await rig.in_flight()
    for _ in range(8):
        before = len(rig.wire.sent)
        await rig.tick(3)  # 1.2 s
        assert len(rig.wire.sent) == before
        await rig.tick()
        assert len(rig.wire.sent) == before + 1
    assert len(set(rig.wire.sent)) == 1


async def test_bytes_are_not_sent_again_once_the_position_has_recovered(rig):
    position, _ = await rig.in_flight()
    rig.price("BTC/USD", 60_000)
    sent = len(rig.wire.sent)
    await rig.until(rig.ended(position))
    assert len(rig.wire.sent) == sent
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.BLOCKHASH_EXPIRED]


async def test_no_second_signature_is_made_before_the_first_is_proven_expired(rig):
    position, flight = await rig.in_flight()
    first = flight.intent
    while rig.journal.open_intents() == [first]:
        rig.keep_prices_fresh()
        rig.parts.detector.look_at(position.address)
        await rig.tick()
        assert len(set(rig.wire.signatures)) == 1 or first not in rig.journal.open_intents()
    rig.wire.fate = Fate.DELIVER
    rig.keep_prices_fresh()
    await rig.until(lambda: len(set(rig.wire.signatures)) == 2)
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.BLOCKHASH_EXPIRED]
    assert [int(row["attempt"]) for row in rig.recorded(OutboxKind.INTENT)] == [1, 2]
    assert len({row["liquidation_id"] for row in rig.recorded(OutboxKind.INTENT)}) == 1


async def test_one_that_a_fork_takes_back_is_open_again_and_goes_out_again(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    await rig.until(lambda: rig.entry(position).stage is Stage.LANDED)
    signature = flight.intent.signature
    rig.chain.faults.hidden.add(signature)
    rig.write(position)
    rig.tell(position.address)
    sent = len(rig.wire.sent)
    await rig.until(lambda: len(rig.wire.sent) > sent)
    assert rig.outcomes() == []
    assert flight.confirmed_at_ns is None
    rig.chain.faults.hidden.clear()  # the other fork took the same transaction
    rig.close(position.address)
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED]
    assert set(rig.wire.signatures) == {signature}


async def test_a_closing_that_a_fork_takes_back_is_seen_by_the_next_look_with_no_news_of_the_account(rig):
    position = rig.open()
    rig.price("BTC/USD", 56_500)  # less is left than nothing: the account is closed
    await rig.until(lambda: rig.entry(position).stage is Stage.LANDED)
    await rig.until(lambda: rig.parts.holdings.decidable(position.address) is None)
    (flight,) = rig.parts.tracker.flights
    rig.chain.faults.hidden.add(flight.intent.signature)
    rig.write(position)
    sent = len(rig.wire.sent)
    await rig.until(lambda: rig.parts.holdings.decidable(position.address) is not None, slots=12)
    await rig.until(lambda: len(rig.wire.sent) > sent, slots=10)
    assert set(rig.wire.signatures) == {flight.intent.signature}
    assert any("taken back by a fork" in event.text for event in rig.parts.events.latest(50))


async def test_one_that_a_fork_took_back_for_good_expires_and_is_recorded_as_not_landed(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    await rig.until(lambda: rig.entry(position).stage is Stage.LANDED)
    rig.chain.faults.hidden.add(flight.intent.signature)
    rig.wire.fate = Fate.DROP
    await rig.until(rig.outcomes)
    (outcome,) = rig.outcomes()
    assert (outcome.outcome, outcome.landed) == (OutcomeClass.BLOCKHASH_EXPIRED, False)
    assert rig.parts.tally.partial == 0


async def test_a_final_transaction_whose_status_is_forgotten_meanwhile_has_not_expired(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    signature = flight.intent.signature
    rig.chain.faults.unread.add(signature)
    await rig.tick(40)
    rig.chain.faults.hidden.add(signature)  # the node's status cache has moved on
    rig.chain.faults.finalized_height = flight.intent.last_valid_block_height + 1
    await rig.tick(5)
    assert rig.outcomes() == []
    rig.chain.faults.hidden.clear()
    rig.chain.faults.unread.clear()
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED]


async def test_a_transaction_that_cannot_be_read_holds_up_no_other(rig):
    rig.chain.faults.unread.clear()
    first, flight = await rig.in_flight(Fate.DELIVER)
    rig.chain.faults.unread.add(flight.intent.signature)
    second = rig.open()
    await rig.until(lambda: second.address not in rig.parts.queue)
    assert first.address in rig.parts.queue
    assert len(rig.outcomes()) == 1


async def test_an_end_that_cannot_be_recorded_is_recorded_later_and_counted_once(rig):
    position, flight = await rig.in_flight(Fate.DELIVER)
    record = rig.journal.record_outcome

    async def refuse(_):
        raise JournalUnavailable("the disk is full")

    rig.journal.record_outcome = refuse
    await rig.tick(60)
    assert position.address in rig.parts.queue
    rig.journal.record_outcome = record
    await rig.until(rig.ended(position))
    assert len(rig.outcomes()) == 1
    assert (rig.parts.tally.attempts, rig.parts.tally.partial) == (1, 1)
    assert rig.parts.tracker.fees_in_flight_lamports == 0
    assert flight.intent.signature == rig.outcomes()[0].signature


async def test_an_end_that_was_recorded_although_the_journal_did_not_answer_is_counted_once(rig):
    record, told = rig.journal.record_outcome, []

    async def late(outcome):
        is_new = await record(outcome)
        told.append(is_new)
        if len(told) < 3:
            raise JournalUnavailable("no answer in 10 s")
        return is_new

    rig.journal.record_outcome = late
    position, _ = await rig.in_flight(Fate.DELIVER)
    await rig.until(rig.ended(position))
    assert told == [True, False, False]
    assert (rig.parts.tally.attempts, rig.parts.tally.partial) == (1, 1)


async def test_an_end_whose_consequences_break_is_told_again_and_counted_once(rig, monkeypatch):
    resolve, broken = rig.parts.failures.resolve_position, []

    async def break_twice(position):
        if len(broken) < 2:
            broken.append(position)
            raise LookupError("unforeseen")
        await resolve(position)

    monkeypatch.setattr(rig.parts.failures, "resolve_position", break_twice)
    position, _ = await rig.in_flight(Fate.DELIVER)
    await rig.until(rig.ended(position))
    assert len(broken) == 2
    assert (rig.parts.tally.attempts, rig.parts.tally.partial) == (1, 1)
    assert len(rig.outcomes()) == 1


async def test_a_fund_movement_that_could_not_be_recorded_loses_neither_itself_nor_the_count(rig):
    record, refused = rig.journal.record_fund_transaction, []

    async def refuse_twice(movement):
        if len(refused) < 2:
            refused.append(movement)
            raise JournalUnavailable("the disk is full")
        return await record(movement)

    rig.journal.record_fund_transaction = refuse_twice
    position = rig.open()
    rig.price("BTC/USD", 56_000)
    await rig.until(rig.ended(position))
    assert len(refused) == 2
    assert [row["kind"] for row in rig.recorded(OutboxKind.FUND)] == ["coverage"]
    assert (rig.parts.tally.attempts, rig.parts.tally.full) == (1, 1)


# --- told of a confirmation before the slot's end ---


async def test_a_hint_has_the_status_asked_for_between_two_slots(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    (flight,) = rig.parts.tracker.flights
    for _ in range(3):
        rig.ledger.advance_slot()  # and no feed tells of it
    await rig.settle()
    assert flight.status is None
    rounds = rig.parts.tracker.rounds
    rig.parts.tracker.hear(flight.intent.signature)
    await rig.settle()
    assert flight.status is not None
    assert flight.confirmed_at_ns is not None
    assert rig.parts.tracker.rounds == rounds  # finality is counted in slots
    await rig.until(rig.ended(position))


async def test_a_hint_that_lies_costs_one_question_and_changes_nothing(rig):
    rig.wire.fate = Fate.DROP
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    (flight,) = rig.parts.tracker.flights
    asked = rig.chain.asked.count("statuses")
    rig.parts.tracker.hear(flight.intent.signature)
    rig.parts.tracker.hear(flight.intent.signature)
    rig.parts.tracker.hear(Signature.default())  # nobody's
    await rig.settle()
    assert rig.chain.asked.count("statuses") == asked + 1
    assert flight.status is None
    assert rig.outcomes() == []


async def test_what_is_in_flight_is_watched_until_its_end(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    assert len(rig.parts.confirmations) == 1
    await rig.until(rig.ended(position))
    assert len(rig.parts.confirmations) == 0
