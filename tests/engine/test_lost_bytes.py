"""Bytes that get lost and faults of ours on the way: nothing is signed twice, and nobody else is held up."""

from __future__ import annotations

import pytest
from simulated import Fate
from solders.account import Account

from engine.domain import OutcomeClass
from engine.journal.records import OutboxKind
from engine.protocol.addresses import SYSTEM_PROGRAM


async def test_of_many_the_failing_one_does_not_keep_the_others_from_their_end(rig):
    positions = [rig.open() for _ in range(20)]
    # This one's account is too small for the program: it fails whatever is tried.
    broken = positions[7]
    data = rig.on_chain(broken).data
    rig.ledger.set_account(broken.address, Account(10**7, bytes(data), SYSTEM_PROGRAM))
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: all(rig.ended(each)() for each in positions))
    assert sum(each.outcome is OutcomeClass.CONFIRMED for each in rig.outcomes()) == 19


@pytest.mark.parametrize("fate", [Fate.REFUSE, Fate.DROP])
async def test_bytes_that_got_lost_go_out_again_unchanged_until_they_land(rig, fate):
    rig.wire.fates = [fate, fate]
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert len(rig.wire.sent) == 3
    assert len(set(rig.wire.sent)) == 1
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.CONFIRMED]


@pytest.mark.parametrize("fate", [Fate.TIME_OUT, Fate.BREAK])
async def test_neither_a_missing_answer_nor_a_fault_of_ours_in_sending_is_a_reason_to_sign_again(rig, fate):
    rig.wire.fates = [fate]
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert len(set(rig.wire.signatures)) == 1
    assert len(rig.ledger.history.naming(position.address)) == 1
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.CONFIRMED]


async def test_a_fault_after_the_last_attempt_was_signed_gives_up_nothing_that_is_in_flight(bare):
    bare.boot(RETRY_ATTEMPTS="1")
    await bare.start()
    bare.wire.fates = [Fate.BREAK]
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(bare.ended(position))
    assert [outcome.outcome for outcome in bare.outcomes()] == [OutcomeClass.CONFIRMED]
    assert bare.recorded(OutboxKind.FAILED) == []
    assert bare.parts.tally.failed == 0


async def test_a_fault_in_one_decision_does_not_end_its_worker(bare, monkeypatch):
    bare.boot(WORKERS="1")
    await bare.start()
    build, broken = bare.parts.executor._builder.build, []

    def break_once(*arguments, **options):
        if not broken:
            broken.append(True)
            raise LookupError("unforeseen")
        return build(*arguments, **options)

    monkeypatch.setattr(bare.parts.executor._builder, "build", break_once)
    positions = [bare.open() for _ in range(3)]
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: all(bare.ended(each)() for each in positions))
    assert len(bare.outcomes()) == 3
