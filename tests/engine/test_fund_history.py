"""The fund's history is read once: a restart goes on where the journal says that the last engine ended."""

from __future__ import annotations

from solders.account import Account
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from engine.journal.records import OutboxKind
from engine.protocol.addresses import SYSTEM_PROGRAM
from engine.protocol.instructions import contribute_to_insurance
from engine.sandbox.cluster.blocks.banks import Commitment

SOL = 10**9


def contribute(rig, lamports: int) -> None:
    payer = Keypair()
    rig.ledger.set_account(payer.pubkey(), Account(lamports + SOL, b"", SYSTEM_PROGRAM))
    blockhash = rig.ledger.latest_blockhash(rig.ledger.bank(Commitment.PROCESSED)).value
    instruction = contribute_to_insurance(payer.pubkey(), lamports)
    message = Message.new_with_blockhash([instruction], payer.pubkey(), blockhash)
    rig.ledger.submit(bytes(Transaction([payer], message, blockhash)), skip_preflight=False)
    rig.tell(rig.parts.fund.address)


async def test_a_restart_reads_only_what_came_after_the_last_look_and_records_nothing_twice(bare):
    bare._plant_fund(balance=0)
    bare.boot()
    await bare.start()
    for lamports in (5 * SOL, 7 * SOL):
        contribute(bare, lamports)
        await bare.tick()
    bare.tell(bare.parts.fund.address)
    await bare.until(lambda: len(bare.recorded(OutboxKind.FUND)) == 2, slots=100)
    await bare.tick(20)
    await bare.kill()
    bare.boot()
    bare.chain.asked.clear()
    await bare.start()
    await bare.tick(60)
    assert "signatures_of" not in bare.chain.asked, "everything that the fund has was recorded"
    assert "transaction" not in bare.chain.asked
    contribute(bare, 9 * SOL)
    await bare.tick()
    bare.tell(bare.parts.fund.address)
    await bare.until(lambda: len(bare.recorded(OutboxKind.FUND)) == 3, slots=100)
    assert bare.chain.asked.count("transaction") == 1
    amounts = [int(row["amount_lamports"]) for row in bare.recorded(OutboxKind.FUND)]
    assert amounts == [5 * SOL, 7 * SOL, 9 * SOL]
