"""Somebody else was first: who, as the chain says, what that counts as, and what is decided afterwards."""

from __future__ import annotations

from simulated import Fate

from engine.api.position_view import PositionViews
from engine.chain.port import RpcFailure
from engine.domain import OutcomeClass
from engine.journal.records import OutboxKind
from engine.summary import summarize
from engine.verify import ChainCounts, DatabaseCounts, VerifyReport, Violations


async def held_back(rig, dollars: float):
    """A position whose liquidation is decided, signed and durable, but still waits for a connection."""
    position = rig.open()
    rig.wire.fate = Fate.HOLD
    rig.price("BTC/USD", dollars)
    await rig.until(lambda: rig.wire.waiting)
    return position


async def overtaken(rig, position, amount_e6: int | None = None):
    """Somebody else's transaction lands, and ours in a later block."""
    rival = rig.liquidate_first(position, amount_e6)
    await rig.tick()
    rig.wire.fate = Fate.DELIVER
    rig.wire.connected.set()
    return rival


async def test_who_closed_the_position_first_is_in_the_outcome_the_record_and_the_consoles_history(rig):
    position = await held_back(rig, 56_000)
    rival = await overtaken(rig, position)
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert (outcome.outcome, outcome.liquidated_by) == (OutcomeClass.ALREADY_LIQUIDATED, rival)
    assert outcome.error_message.startswith(f"already liquidated: by {rival} in slot ")
    assert "(3012)" in outcome.error_message
    assert outcome.fee_lamports > 0
    assert rig.recorded(OutboxKind.OUTCOME)[0]["liquidated_by"] == str(rival)
    views: PositionViews = rig.parts.snapshots._positions
    (attempt,) = views._attempts(position.address)
    assert attempt.liquidated_by == str(rival)
    assert any(str(rival) in event.text for event in rig.parts.events.latest(50))


async def test_a_position_that_another_made_healthy_was_liquidated_by_him_and_is_no_failure(rig):
    position = await held_back(rig, 58_000)
    rival = await overtaken(rig, position, 900_000)
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert (outcome.outcome, outcome.liquidated_by) == (OutcomeClass.ALREADY_LIQUIDATED, rival)
    assert "PositionNotLiquidatable" in outcome.error_message
    assert (rig.parts.tally.already_liquidated, rig.parts.tally.failed) == (1, 0)
    assert len(rig.parts.failures) == 0


async def test_what_the_price_made_healthy_again_is_nobodys(rig):
    position = await held_back(rig, 58_000)
    await rig.recover_unheard()
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert (outcome.outcome, outcome.liquidated_by) == (OutcomeClass.HEALTHY_AGAIN, None)


async def test_an_earlier_liquidation_that_was_known_when_we_decided_is_not_why_we_were_late(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    rig.wire.fate = Fate.HOLD
    rig.price("BTC/USD", 56_500)
    await rig.until(lambda: rig.wire.waiting)
    await rig.recover_unheard()
    await rig.until(rig.ended(position))
    assert rig.outcomes()[-1].outcome is OutcomeClass.HEALTHY_AGAIN


async def test_where_the_history_cannot_be_read_the_outcome_is_recorded_without_a_name(rig):
    position = await held_back(rig, 56_000)
    rig.chain.faults.failing["signatures_of"] = RpcFailure("node error: busy")
    await overtaken(rig, position)
    await rig.until(rig.ended(position))
    (outcome,) = rig.outcomes()
    assert (outcome.outcome, outcome.liquidated_by) == (OutcomeClass.ALREADY_LIQUIDATED, None)


async def test_an_amount_that_is_more_than_another_left_is_decided_anew_and_not_retried(rig):
    # Ours is for most of it; somebody else takes half first, which leaves less than that, still under water.
    position = await held_back(rig, 57_800)
    rig.chain.faults.failing["signatures_of"] = RpcFailure("node error: busy")  # told by the account alone
    await overtaken(rig, position, 500_000)
    await rig.until(rig.outcomes)
    assert "InvalidLiquidationAmount (6010)" in rig.outcomes()[0].error_message
    rig.keep_prices_fresh()
    await rig.until(rig.ended(position))
    assert len(rig.parts.failures) == 0
    assert [each.outcome for each in rig.outcomes()][1:] == [OutcomeClass.CONFIRMED]
    first, second = rig.recorded(OutboxKind.INTENT)
    assert int(first["amount_e6"]) > 500_000 > int(second["amount_e6"])
    assert first["liquidation_id"] != second["liquidation_id"]
    assert second["attempt"] == 1


async def test_races_that_were_lost_are_a_figure_of_their_own_beside_the_success_rate(rig):
    lost = await held_back(rig, 56_000)
    await overtaken(rig, lost)
    await rig.until(rig.ended(lost))
    won = rig.open()
    rig.keep_prices_fresh()
    await rig.until(rig.ended(won))
    report = VerifyReport(ChainCounts(*[0] * 8), DatabaseCounts(*[0] * 11), Violations(*[0] * 4))
    snapshot = rig.parts.snapshots.take()
    summary = summarize(snapshot, report, liquidatable_seen=2, opened=None, drained=True)
    assert summary["liquidations"] == {"full": 1, "partial": 0, "failed": 0, "already_liquidated": 1}
    assert summary["success_rate"] == 1.0
