"""Signed bytes that could not leave at first leave as soon as they may, and are still the same bytes."""

from __future__ import annotations

from engine.chain.port import RpcFailure
from engine.domain import OutcomeClass


async def test_a_price_that_comes_back_for_a_moment_does_not_lock_the_position(rig):
    record = rig.journal.record_intent

    async def slow(intent):
        await record(intent)
        rig.price("BTC/USD", 60_000)  # it recovers while the disk writes

    rig.journal.record_intent = slow
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    rig.journal.record_intent = record
    assert rig.wire.sent == []
    (intent,) = rig.journal.open_intents()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED]
    assert set(rig.wire.signatures) == {intent.signature}


async def test_a_connection_that_fails_before_the_first_byte_does_not_lock_the_position(rig):
    send = rig.wire.send

    async def refused(*_):
        raise RpcFailure("node error while sending: ClientConnectorError")

    rig.wire.send = refused
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    (intent,) = rig.journal.open_intents()
    rig.wire.send = send
    await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED]
    assert set(rig.wire.signatures) == {intent.signature}
