"""What liquidations cost: fees that rise, a budget that holds, and a wallet that runs dry."""

from __future__ import annotations

import pytest

from engine.domain import OutcomeClass
from engine.journal.records import OutboxKind
from engine.liquidation.queue import Stage

SOL = 10**9
FLOOR_LAMPORTS = 50_000_000


async def test_the_priority_fee_rises_with_each_attempt(bare):
    bare.boot(PRIORITY_FEE_MICROLAMPORTS="1000")
    bare.parts.executor._limits._setting = 3_000
    await bare.start()
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(bare.ended(position))
    prices = [int(row["priority_fee_microlamports"]) for row in bare.recorded(OutboxKind.INTENT)]
    assert prices == [1_000 * attempt for attempt in range(1, len(prices) + 1)]
    assert len(prices) > 1


@pytest.mark.parametrize("lamports", [1, 6_000, 890_880 + 6_999])
async def test_a_wallet_that_cannot_pay_pauses_sending_with_one_alert_until_it_is_funded(rig, lamports):
    rig.fund_wallet(lamports)
    positions = [rig.open() for _ in range(12)]
    rig.price("BTC/USD", 58_000)
    await rig.tick(60)
    assert rig.recorded(OutboxKind.INTENT) == []
    assert {entry.stage for entry in rig.parts.queue} == {Stage.QUEUED}
    assert {entry.attempt for entry in rig.parts.queue} == {1}
    assert rig.parts.failures.rows == []
    assert rig.gate.state.is_running
    alerts = [event.text for event in rig.parts.events.latest(500) if event.level == "danger"]
    assert len(alerts) == 1
    assert "insufficient funds" in alerts[0]
    assert any("insufficient funds" in line for line in rig.parts.snapshots.take().engine.degraded)
    rig.keep_prices_fresh()
    rig.fund_wallet(SOL)
    await rig.until(lambda: all(rig.ended(each)() for each in positions))
    assert {outcome.outcome for outcome in rig.outcomes()} == {OutcomeClass.CONFIRMED}
    assert not any("insufficient" in line for line in rig.parts.snapshots.take().engine.degraded)


async def test_who_recovers_while_the_wallet_is_empty_is_dropped_when_it_is_funded(rig):
    rig.fund_wallet(1)
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.tick(5)
    rig.price("BTC/USD", 60_000)
    rig.fund_wallet(SOL)
    await rig.until(rig.ended(position))
    assert rig.wire.sent == []


async def test_the_budget_of_a_day_holds_however_many_workers_sign_at_once(bare):
    bare.boot(FEE_BUDGET_LAMPORTS="20000", WORKERS="16")  # for two transactions of 7,000 each
    bare.parts.executor._limits.wants_rehearsal = lambda kind: False  # a fee that is known
    await bare.start()
    for _ in range(16):
        bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.tick(10)
    assert len(bare.recorded(OutboxKind.INTENT)) == 2
    assert {failed.outcome for failed in bare.parts.failures.rows} == {OutcomeClass.INSUFFICIENT_FUNDS}


async def test_sending_pauses_at_the_floor_and_goes_on_above_it(bare):
    bare.boot(WALLET_FLOOR_LAMPORTS=str(FLOOR_LAMPORTS))
    await bare.start()
    bare.fund_wallet(FLOOR_LAMPORTS + 4_999)  # a signature costs 5,000
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.tick(60)
    assert bare.recorded(OutboxKind.INTENT) == []
    degraded = bare.parts.snapshots.take().engine.degraded
    assert any(f"the wallet holds {FLOOR_LAMPORTS + 4_999} lamports" in line for line in degraded)
    bare.keep_prices_fresh()
    bare.fund_wallet(FLOOR_LAMPORTS * 2)
    await bare.until(bare.ended(position))
    assert [outcome.outcome for outcome in bare.outcomes()] == [OutcomeClass.CONFIRMED]
