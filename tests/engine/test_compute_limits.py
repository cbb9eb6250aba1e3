"""What a liquidation asks for in compute units: what its like used and a fifth more, within the protocol."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from simulated import make_position

from engine.chain.port import RpcFailure
from engine.domain import Action, Generation, OutcomeClass
from engine.journal.records import OutboxKind
from engine.liquidation.compute_limits import ComputeLimits, Kind
from engine.protocol.addresses import FEEDS
from engine.protocol.compute import MAX_COMPUTE_UNITS

PARTIAL = Kind(Action.PARTIAL, Generation.DOCUMENTED, is_in_debt=False)
SETTING = 200_000


def limits_asked_for(rig) -> list[int]:
    return [int(row["compute_unit_limit"]) for row in rig.recorded(OutboxKind.INTENT)]


async def fall(rig, dollars: int) -> None:
    """A price that a node's newest bank has before the engine hears of it."""
    rig.write_price("BTC/USD", dollars)
    await rig.tick(2)
    rig.tell(FEEDS["BTC/USD"].account)
    await rig.settle()


async def open_one(rig, **changes):
    """A position that a node's newest bank has before the engine hears of it."""
    position = make_position(**changes)
    rig.write(position)
    await rig.tick(2)
    rig.tell(position.address)
    await rig.settle()
    return position


async def not_rehearsed(raw, watched):
    raise RpcFailure("node error: method not found")


def a_fifth_more(units: int) -> int:
    return -(-units * 12 // 10)


@given(st.lists(st.integers(0, 2**64), max_size=20))
def test_a_limit_is_never_below_what_was_used_and_never_above_the_protocols(used):
    limits = ComputeLimits(None, SETTING)
    for units in used:
        limits._learn(PARTIAL, units)
    most = min(max(used, default=0), MAX_COMPUTE_UNITS)
    assert most <= limits.limit_of(PARTIAL) <= MAX_COMPUTE_UNITS
    assert limits.limit_of(PARTIAL) == (min(a_fifth_more(most), MAX_COMPUTE_UNITS) if used else SETTING)


async def test_the_first_goes_out_with_the_setting_and_the_next_with_what_its_rehearsal_used_and_a_fifth(rig):
    rig.open()
    await fall(rig, 58_000)
    assert rig.chain.asked.count("simulate") == 1
    await open_one(rig)
    assert len(rig.wire.sent) == 2
    assert rig.chain.asked.count("simulate") == 1  # it is known by now
    first, second = limits_asked_for(rig)
    assert first == SETTING
    await rig.until(lambda: len(rig.outcomes()) == 2)
    units = max(outcome.compute_units for outcome in rig.outcomes())
    assert units <= second <= a_fifth_more(units) + 1_000
    assert [outcome.outcome for outcome in rig.outcomes()] == [OutcomeClass.CONFIRMED] * 2


async def test_kinds_that_differ_in_what_the_program_does_are_learned_apart(rig):
    rig.open()
    await fall(rig, 58_000)
    await open_one(rig, generation=Generation.DEPLOYED, created_at_s=0)
    await open_one(rig, collateral_e6=10**6)  # it owes more than it has
    assert limits_asked_for(rig) == [SETTING] * 3
    assert rig.chain.asked.count("simulate") == 3


async def test_without_a_rehearsal_the_chain_itself_teaches(rig):
    rig.chain.simulate = not_rehearsed
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    rig.keep_prices_fresh()
    rig.open()
    await rig.until(lambda: len(limits_asked_for(rig)) == 2)
    assert limits_asked_for(rig)[1] == a_fifth_more(outcome.compute_units)


async def test_a_rehearsal_that_fails_teaches_nothing_and_is_made_again_with_the_next(rig):
    simulate = rig.chain.simulate

    async def somebody_was_first(raw, watched):
        done = await simulate(raw, watched)
        return replace(done, fault=done.fault or "PositionNotLiquidatable", compute_units=500)

    rig.chain.simulate = somebody_was_first
    rig.open()
    await fall(rig, 58_000)
    rig.chain.simulate = simulate
    await open_one(rig)
    assert limits_asked_for(rig) == [SETTING] * 2
    await open_one(rig)
    assert limits_asked_for(rig)[2] < SETTING


async def test_what_is_rehearsed_has_no_signature_and_could_not_land(rig):
    seen = []

    async def look(raw, _):
        seen.append(raw)
        raise RpcFailure("node error: method not found")

    rig.chain.simulate = look
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    (raw,) = seen
    assert raw[:65] == b"\x01" + bytes(64)
    assert rig.wire.sent[0][1:65] != bytes(64)


async def test_running_out_of_units_raises_the_limit_of_that_one_and_of_all_like_it(rig):
    rig.chain.simulate = not_rehearsed
    limits = rig.parts.executor._limits
    limits._learn(PARTIAL, 2_500)  # far too few
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: len(limits_asked_for(rig)) == 2)
    assert rig.outcomes()[0].outcome is OutcomeClass.EXCEEDED_CUS
    assert limits_asked_for(rig) == [3_000, 6_000]
    assert limits.limit_of(PARTIAL) >= a_fifth_more(3_000)
    assert limits.wants_rehearsal(PARTIAL)
    await rig.until(rig.ended(position))
    assert rig.outcomes()[-1].outcome is OutcomeClass.CONFIRMED
    assert limits.limit_of(PARTIAL) >= a_fifth_more(rig.outcomes()[-1].compute_units)
