"""Signed while the account is read again: what leaves is right by both, and what does not is withdrawn."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from engine.chain.port import RpcFailure
from engine.domain import Action, OutcomeClass
from engine.journal import JournalUnavailable
from engine.journal.records import OutboxKind


def hold_reads(rig) -> asyncio.Event:
    """Accounts are read when the event is set, and not before."""
    read, may_answer = rig.chain.accounts, asyncio.Event()

    async def held(addresses):
        await may_answer.wait()
        return await read(addresses)

    rig.chain.accounts = held
    return may_answer


async def test_a_durable_intent_stays_here_until_the_account_was_read_again(rig):
    may_answer = hold_reads(rig)
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    assert len(rig.journal.open_intents()) == 1
    assert rig.wire.sent == []
    may_answer.set()
    await rig.settle()
    assert len(rig.wire.sent) == 1


async def test_a_read_account_does_not_let_bytes_go_before_their_intent_is_durable(rig):
    record, may_record = rig.journal.record_intent, asyncio.Event()

    async def held(intent):
        await may_record.wait()
        await record(intent)

    rig.journal.record_intent = held
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    assert "accounts" in rig.chain.asked
    assert rig.wire.sent == []
    may_record.set()
    await rig.settle()
    assert len(rig.wire.sent) == 1


async def test_an_account_that_changed_has_its_transaction_withdrawn_and_is_decided_on_anew(rig):
    may_answer = hold_reads(rig)
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    (withdrawn,) = rig.journal.open_intents()
    rig.write(replace(position, collateral_e6=2_900 * 10**6))  # and no notification came
    may_answer.set()
    await rig.until(rig.ended(position))
    (first,) = [each for each in rig.outcomes() if each.signature == withdrawn.signature]
    assert (first.outcome, first.landed) == (OutcomeClass.NEVER_SENT, False)
    (second,) = [each for each in rig.outcomes() if each.signature != withdrawn.signature]
    assert second.outcome is OutcomeClass.CONFIRMED
    assert set(rig.wire.signatures) == {second.signature}
    amounts = [row["amount_e6"] for row in rig.recorded(OutboxKind.INTENT)]
    assert amounts[1] > amounts[0], "the smaller collateral needs more to be closed"


async def test_an_account_that_became_healthy_costs_nothing_and_leaves_no_intent_open(rig):
    may_answer = hold_reads(rig)
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    rig.write(replace(position, collateral_e6=9_000 * 10**6))
    may_answer.set()
    await rig.settle()
    assert rig.wire.sent == []
    assert rig.journal.open_intents() == []
    assert position.address not in rig.parts.queue
    assert rig.journal.totals()["attempts"] == 0


async def test_an_account_that_cannot_be_read_is_tried_again_and_not_signed_again_before_it_was_read(rig):
    position, failed = await rig.given_up()
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.NEVER_SENT]
    assert len(rig.recorded(OutboxKind.INTENT)) == 1
    assert rig.journal.open_intents() == []
    assert [each.outcome for each in failed.history] == [OutcomeClass.NODE_ERROR] * 5
    assert failed.position == position.address
    assert rig.wire.sent == []


async def test_the_very_transaction_that_was_withdrawn_is_signed_again_under_another_signature(rig):
    rig.chain.faults.failing["accounts"] = RpcFailure("node error: busy")
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    rig.chain.faults.failing.clear()
    await rig.clock.advance(0.2)  # the same blockhash, price, amount and fee
    await rig.settle()
    first, second = rig.recorded(OutboxKind.INTENT)
    assert first["blockhash"] == second["blockhash"]
    assert first["signature"] != second["signature"]
    await rig.until(rig.ended(position))
    assert rig.outcomes()[-1].outcome is OutcomeClass.CONFIRMED


async def test_a_withdrawn_transaction_that_would_come_out_the_same_again_gets_another_limit(rig):
    before = rig.open()
    rig.price("BTC/USD", 56_000)
    await rig.until(rig.ended(before))  # what the like of it uses is known: the limit is the same each time
    may_answer = hold_reads(rig)
    position = rig.open()
    rig.tell(position.address)
    rig.price("BTC/USD", 56_000)
    await rig.settle()
    (withdrawn,) = rig.journal.open_intents()
    assert withdrawn.action is Action.FULL, "no amount is in it, so the changed account makes no other"
    rig.write(replace(position, collateral_e6=position.collateral_e6 - 10**6))
    may_answer.set()
    await rig.until(lambda: len(rig.outcomes()) == 3)
    ends = {str(each.signature): each.outcome for each in rig.outcomes()}
    again = rig.recorded(OutboxKind.INTENT)[-1]
    assert ends[str(withdrawn.signature)] is OutcomeClass.NEVER_SENT
    assert ends[again["signature"]] is OutcomeClass.CONFIRMED
    assert again["blockhash"] == withdrawn.blockhash
    assert again["compute_unit_limit"] == withdrawn.compute_unit_limit + 1
    assert withdrawn.signature not in rig.wire.signatures


async def test_what_cannot_be_recorded_as_withdrawn_keeps_its_position_until_it_can_land_no_more(rig):
    may_answer = hold_reads(rig)
    record = rig.journal.record_outcome

    async def refuse(_):
        raise JournalUnavailable("the disk is full")

    rig.journal.record_outcome = refuse
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    rig.write(replace(position, collateral_e6=2_900 * 10**6))
    may_answer.set()
    await rig.settle()
    (flight,) = rig.parts.tracker.flights
    assert flight.withheld
    rig.journal.record_outcome = record
    await rig.until(rig.outcomes)
    assert rig.outcomes()[0].outcome is OutcomeClass.BLOCKHASH_EXPIRED
    assert flight.intent.signature not in rig.wire.signatures
