"""What the operator wants kept in the wallet is kept: sending pauses before a fee would touch it."""

from __future__ import annotations

from solders.account import Account

from engine.domain import OutcomeClass
from engine.journal.records import OutboxKind
from engine.protocol.addresses import SYSTEM_PROGRAM

FLOOR_LAMPORTS = 50_000_000


async def test_sending_pauses_at_the_floor_and_goes_on_above_it(bare):
    bare.boot(WALLET_FLOOR_LAMPORTS=str(FLOOR_LAMPORTS))
    await bare.start()
    fund_wallet(bare, FLOOR_LAMPORTS + 4_999)  # a signature costs 5,000
    position = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.tick(60)
    assert bare.recorded(OutboxKind.INTENT) == []
    degraded = bare.parts.snapshots.take().engine.degraded
    assert any(f"the wallet holds {FLOOR_LAMPORTS + 4_999} lamports" in line for line in degraded)
    bare.keep_prices_fresh()
    fund_wallet(bare, FLOOR_LAMPORTS * 2)
    await bare.until(bare.ended(position))
    assert [outcome.outcome for outcome in bare.outcomes()] == [OutcomeClass.CONFIRMED]


def fund_wallet(rig, lamports: int) -> None:
    rig.ledger.set_account(rig.wallet.pubkey(), Account(lamports, b"", SYSTEM_PROGRAM))
    rig.tell(rig.wallet.pubkey())
