"""What comes in: snapshots and notifications, the fund and its history, and the original's defects."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

from solders.account import Account
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from engine.chain.frames import AccountNews
from engine.chain.port import LandedTransaction, RpcFailure
from engine.domain import OutcomeClass, Verdict
from engine.ingest import DOUBT_REST_S
from engine.journal.records import OutboxKind
from engine.liquidation.queue import Stage
from engine.protocol.addresses import FEEDS, PROGRAM_ID, SYSTEM_PROGRAM
from engine.protocol.events import CONTRIBUTION_DISCRIMINATOR
from engine.protocol.instructions import contribute_to_insurance
from engine.sandbox.cluster.blocks.banks import Commitment

SOL = 10**9


# --- snapshots and notifications ---


async def test_nothing_is_decided_before_the_first_snapshot_is_complete(bare):
    position = bare.open()
    bare.write_price("BTC/USD", 58_000)
    bare.boot()
    bare.chain.faults.failing["positions"] = RpcFailure("timeout", is_timeout=True)
    await bare.start(wait=False)
    bare.tell(position.address)
    bare.price("BTC/USD", 57_990)
    await bare.tick(10)
    assert bare.parts.phase.name == "loading"
    assert bare.recorded(OutboxKind.INTENT) == []
    bare.chain.faults.failing.clear()
    await bare.until(lambda: bare.wire.sent)


async def test_a_position_that_was_below_its_line_at_the_start_is_found_without_any_news(bare):
    position = bare.open()
    bare.write_price("BTC/USD", 58_000)
    bare.boot()
    await bare.start()
    await bare.until(bare.ended(position))
    assert [each.outcome for each in bare.outcomes()] == [OutcomeClass.CONFIRMED]


async def test_a_new_connection_brings_a_new_snapshot_and_what_was_missed_with_it(rig):
    closed, opened = rig.open(), None
    rig.parts.ingest.on_disconnected("ConnectionClosed")
    assert not rig.parts.ingest.subscribed
    await rig.tick()
    rig.close(closed.address, tell=False)
    opened = replace(closed, address=Pubkey.new_unique())
    rig.write(opened)
    await rig.tick()
    rig.parts.ingest.on_connected()
    await rig.until(lambda: opened.address in rig.parts.holdings.book)
    assert closed.address not in rig.parts.holdings.book


async def test_without_any_notification_everything_is_read_again_every_minute(rig, monkeypatch):
    position = rig.open()
    rig.close(position.address, tell=False)
    loop, ahead_s = asyncio.get_running_loop(), 0.0
    loop_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: loop_time() + ahead_s)
    missed = replace(position, address=Pubkey.new_unique())
    rig.write(missed)
    asked = rig.chain.asked.count("positions")
    ahead_s = 30.0
    await rig.tick(2)
    assert rig.chain.asked.count("positions") == asked
    ahead_s = 60.0
    await rig.until(lambda: missed.address in rig.parts.holdings.book)
    assert position.address not in rig.parts.holdings.book
    assert rig.chain.asked.count("positions") == asked + 1
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.sent)
    await rig.until(rig.ended(missed))
    assert len(rig.outcomes()) == 1


async def test_a_sequence_in_doubt_brings_one_new_snapshot_however_often_it_is_doubted(rig, monkeypatch):
    loop, ahead_s = asyncio.get_running_loop(), 0.0
    loop_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: loop_time() + ahead_s)
    closed = rig.open()
    rig.close(closed.address, tell=False)
    asked = rig.chain.asked.count("positions")
    for _ in range(5):
        rig.parts.ingest.on_doubt("slot 9 on 7 came after 7")
    await rig.tick(2)
    ahead_s = DOUBT_REST_S
    await rig.until(lambda: closed.address not in rig.parts.holdings.book)
    await rig.tick(5)
    assert rig.chain.asked.count("positions") == asked + 1


async def test_a_snapshot_that_fails_is_taken_again_a_second_later(rig):
    rig.chain.faults.failing["positions"] = RpcFailure("node error")
    rig.parts.ingest.on_connected()
    await rig.settle()
    asked = rig.chain.asked.count("positions")
    await rig.clock.advance(0.9)
    assert rig.chain.asked.count("positions") == asked
    await rig.clock.advance(0.2)
    assert rig.chain.asked.count("positions") == asked + 1
    rig.chain.faults.failing.clear()


async def test_a_notification_of_a_position_below_its_line_queues_it_at_once(rig):
    rig.price("BTC/USD", 58_000)
    position = rig.open()
    assert rig.entry(position).stage is Stage.QUEUED


async def test_a_notification_whose_content_nobody_can_read_breaks_nothing(rig):
    hostile = Pubkey.new_unique()
    for data in (b"", b"\0", b"\xff" * 120, b"\xaa\xbc\x8f\xe4\x7a\x40\xf7\xd0" + b"\xff" * 200):
        for address in (hostile, FEEDS["SOL/USD"].account, rig.parts.fund.address, rig.wallet.pubkey()):
            for owner in (PROGRAM_ID, SYSTEM_PROGRAM):
                rig.parts.ingest.on_accounts([AccountNews(address, data, owner, 2**64 - 1, 0)])
    await rig.tick(3)
    assert rig.parts.board.current("SOL/USD").verdict is Verdict.INVALID
    assert rig.parts.fund.state.balance_lamports == 1000 * SOL


# --- the fund ---


def contribute(rig, lamports: int, payer: Keypair | None = None) -> Keypair:
    """Somebody contributes to the insurance fund."""
    payer = payer or Keypair()
    rig.ledger.set_account(payer.pubkey(), Account(lamports + SOL, b"", SYSTEM_PROGRAM))
    blockhash = rig.ledger.latest_blockhash(rig.ledger.bank(Commitment.PROCESSED)).value
    message = Message.new_with_blockhash(
        [contribute_to_insurance(payer.pubkey(), lamports)], payer.pubkey(), blockhash
    )
    rig.ledger.submit(bytes(Transaction([payer], message, blockhash)), skip_preflight=False)
    rig.tell(rig.parts.fund.address)
    return payer


async def test_the_first_sight_of_a_balance_is_no_deposit(rig):
    await rig.tick(80)
    assert rig.parts.fund.state.balance_lamports == 1000 * SOL
    assert rig.recorded(OutboxKind.FUND) == []


async def test_every_contribution_is_recorded_exactly_once_with_its_contributor(rig):
    await rig.tick()
    payers = [contribute(rig, lamports) for lamports in (5 * SOL, 7 * SOL)]
    await rig.until(lambda: len(rig.recorded(OutboxKind.FUND)) == 2)
    await rig.tick(50)
    rows = rig.recorded(OutboxKind.FUND)
    assert [(row["kind"], int(row["amount_lamports"])) for row in rows] == [
        ("contribution", 5 * SOL),
        ("contribution", 7 * SOL),
    ]
    assert [row["account"] for row in rows] == [str(payer.pubkey()) for payer in payers]


async def test_a_contribution_whose_transaction_cannot_be_read_yet_is_recorded_later(rig):
    await rig.tick()
    contribute(rig, 5 * SOL)
    signature = rig.ledger.history.naming(rig.parts.fund.address)[-1].signature
    rig.chain.faults.unread.add(signature)
    await rig.tick(80)
    assert rig.recorded(OutboxKind.FUND) == []
    rig.chain.faults.unread.clear()
    await rig.until(lambda: rig.recorded(OutboxKind.FUND))


async def test_a_contribution_that_another_program_claims_is_not_believed(rig):
    forged = base64.b64encode(
        CONTRIBUTION_DISCRIMINATOR + bytes(Pubkey.new_unique()) + (10**15).to_bytes(8, "little") * 3
    ).decode()
    stranger = Pubkey.new_unique()
    landed = LandedTransaction(
        slot=1,
        block_time_s=1,
        fault=None,
        fee_lamports=5000,
        compute_units=1,
        logs=[
            f"Program {PROGRAM_ID} invoke [1]",
            f"Program {stranger} invoke [2]",
            "Program log: success",
            f"Program data: {forged}",
            f"Program {stranger} success",
            f"Program {PROGRAM_ID} success",
            f"Program {stranger} invoke [1]",
            f"Program log: Program {PROGRAM_ID} invoke [1]",
            f"Program data: {forged}",
            f"Program {stranger} success",
        ],
        lamports_change={},
    )
    signature = rig.ledger.airdrop(stranger, SOL)
    await rig.parts.fund._record(signature, landed)
    assert rig.recorded(OutboxKind.FUND) == []


# --- what the program that this project re-implements did wrong ---


async def test_a_position_is_not_deduplicated_for_ever(rig):
    position = rig.open()
    for dollars in (58_000, 57_000, 56_000):
        rig.price("BTC/USD", dollars)
        await rig.until(rig.ended(position))
    assert [each.outcome for each in rig.outcomes()] == [OutcomeClass.CONFIRMED] * 3


async def test_the_partial_path_liquidates_a_part(rig):
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert 0 < rig.outcomes()[0].liquidated_size_e6 < position.size_e6
    assert rig.on_chain(position) is not None


async def test_leverage_is_kept_in_sixteen_bits(rig):
    position = rig.open(leverage=500)
    assert rig.parts.holdings.decidable(position.address).leverage == 500
    rig.price("BTC/USD", 57_100)  # margin 0.18 %, below the 0.25 % of 500x and above no other tier's line
    await rig.until(rig.ended(position))
    assert len(rig.outcomes()) == 1


async def test_what_happens_is_decided_by_the_oracles_price_and_by_no_other(rig):
    position = rig.open()
    await rig.tick(50)
    assert rig.wire.sent == []
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    assert rig.outcomes()[0].liquidation_price_e6 == 58_000 * 10**6
