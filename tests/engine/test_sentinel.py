"""The engine stops itself when what must never happen did, and stays stopped until a person resumes."""

from __future__ import annotations

import json

import pytest
from rig import SOL
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from engine.chain.port import RpcFailure
from engine.commands import CommandError
from engine.control import SendingStopped
from engine.journal.records import OutboxKind
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.stopping.sentinel import SEEN

FINAL_SLOTS = 40


async def landed(rig, payer: Keypair, to: Pubkey):
    """A transfer from somebody to somebody, final on the chain; returns its signature."""
    bank = rig.ledger.bank(Commitment.CONFIRMED)
    blockhash = Hash.from_bytes(bytes(rig.ledger.latest_blockhash(bank).value))
    paying = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=SOL))
    signed = Transaction([payer], Message.new_with_blockhash([paying], payer.pubkey(), blockhash), blockhash)
    rig.ledger.submit(bytes(signed), skip_preflight=True)
    await rig.tick(FINAL_SLOTS)
    assert rig.ledger.history.get(signed.signatures[0]).fault is None
    return signed.signatures[0]


async def refused_resume(rig) -> str:
    """Why the resume of the stop in force is refused."""
    with pytest.raises(CommandError) as refusal:
        await rig.parts.commands.resume("ada", "go", rig.gate.state.version)
    assert not rig.gate.state.is_running
    return str(refusal.value)


async def reboot(rig, **environment: str) -> None:
    await rig.gate.persist()  # a stop of the engine's own is on its way to the disk when the look returns
    await rig.kill()
    rig.boot(**environment)
    await rig.start()


# --- a signature that the journal does not know ---


async def test_a_transaction_that_our_wallet_signed_and_the_journal_does_not_know_stops_the_engine(rig):
    await rig.parts.sentinel.look_at_wallet()
    foreign = await landed(rig, rig.wallet, Pubkey.new_unique())
    await rig.parts.sentinel.look_at_wallet()
    state = rig.gate.state
    assert (state.is_running, state.by) == (False, "engine")
    assert state.reason.startswith(f"unknown signature by our wallet: {foreign}: find out who")
    told = rig.parts.events.latest(50)[-1].text
    assert told.startswith("STOPPED by engine: unknown signature by our wallet")
    assert rig.parts.snapshots.take().gate.by == "engine"
    await rig.parts.commands.settle_audits()
    assert [row["actor"] for row in rig.recorded(OutboxKind.CONTROL)] == ["engine"]


async def test_it_is_not_lifted_by_a_restart_and_named_until_a_person_resumes(rig):
    await rig.parts.sentinel.look_at_wallet()
    foreign = await landed(rig, rig.wallet, Pubkey.new_unique())
    await rig.parts.sentinel.look_at_wallet()
    await reboot(rig)
    assert not rig.gate.state.is_running
    await rig.parts.sentinel.look_at_wallet()
    (check,) = [check for check in rig.parts.commands.resume_checks() if check.name == "signatures"]
    assert (check.ok, check.required) == (False, False)
    assert str(foreign) in check.detail
    rig.keep_prices_fresh()
    await rig.parts.wallet.refresh()
    await rig.parts.commands.resume("ada", "it was me", rig.gate.state.version)
    assert all(check.ok for check in rig.parts.sentinel.checks())
    await rig.parts.sentinel.look_at_wallet()
    assert rig.gate.state.is_running
    await reboot(rig)
    await rig.parts.sentinel.look_at_wallet()
    assert rig.gate.state.is_running


async def test_our_own_liquidations_stop_nothing_and_are_accounted_for(rig):
    await rig.parts.sentinel.look_at_wallet()
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(rig.ended(position))
    await rig.tick(FINAL_SLOTS)
    before = rig.journal.noted(SEEN)
    await rig.parts.sentinel.look_at_wallet()
    assert rig.gate.state.is_running
    assert rig.journal.noted(SEEN) != before


async def test_a_transfer_to_the_wallet_that_somebody_else_signed_is_none_of_ours(rig):
    await rig.parts.sentinel.look_at_wallet()
    friend = Keypair()
    rig.ledger.set_account(friend.pubkey(), rig.ledger.account(rig.wallet.pubkey()))
    await landed(rig, friend, rig.wallet.pubkey())
    await rig.parts.sentinel.look_at_wallet()
    assert rig.gate.state.is_running
    assert all(check.ok for check in rig.parts.sentinel.checks())


async def test_what_the_wallet_did_before_the_first_start_is_taken_as_it_is(bare):
    bare.boot()
    await bare.start()
    await landed(bare, bare.wallet, Pubkey.new_unique())
    await bare.parts.sentinel.look_at_wallet()
    assert bare.gate.state.is_running


async def test_a_foreign_transaction_that_no_node_shows_yet_is_looked_at_again(rig):
    await rig.parts.sentinel.look_at_wallet()
    foreign = await landed(rig, rig.wallet, Pubkey.new_unique())
    rig.chain.faults.unread.add(foreign)
    await rig.parts.sentinel.look_at_wallet()
    assert rig.gate.state.is_running
    rig.chain.faults.unread.clear()
    await rig.parts.sentinel.look_at_wallet()
    assert not rig.gate.state.is_running


async def test_a_node_that_does_not_answer_ends_no_watch(rig):
    rig.chain.faults.failing["signatures_of"] = RpcFailure("node error: away")
    watch = rig.spawn(rig.parts.sentinel.run())
    await rig.clock.advance(30)
    rig.chain.faults.failing.clear()
    await rig.clock.advance(30)
    await rig.settle()
    assert not watch.done()
    foreign = await landed(rig, rig.wallet, Pubkey.new_unique())
    await rig.clock.advance(10)
    await rig.until(lambda: not rig.gate.state.is_running, slots=20)
    assert str(foreign) in rig.gate.state.reason


# --- a budget that is spent ---


async def test_a_budget_that_is_paid_out_stops_the_engine_until_it_is_raised(bare):
    bare.boot(FEE_BUDGET_LAMPORTS="8000")  # for one transaction of 7,000
    await bare.start()
    first = bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(bare.ended(first))
    assert bare.gate.state.is_running
    bare.keep_prices_fresh()
    bare.open()
    await bare.until(lambda: not bare.gate.state.is_running)
    assert bare.gate.state.reason == (
        "fee budget spent: 7000 of 8000 lamports paid today (UTC), 0 in flight: "
        "raise FEE_BUDGET_LAMPORTS and start anew, or resume tomorrow (UTC)"
    )
    assert len(bare.wire.sent) == 1
    assert "fee budget spent: 7000 of 8000" in await refused_resume(bare)
    await reboot(bare, FEE_BUDGET_LAMPORTS="8000")
    assert "fee budget spent" in await refused_resume(bare)
    await reboot(bare, FEE_BUDGET_LAMPORTS="100000")
    bare.keep_prices_fresh()
    await bare.parts.wallet.refresh()
    await bare.parts.commands.resume("ada", "more money", bare.gate.state.version)
    await bare.until(lambda: bare.wire.sent)


async def test_a_resume_that_a_budget_without_room_would_undo_at_once_is_refused_and_says_so(bare):
    bare.boot(FEE_BUDGET_LAMPORTS="6999")  # a transaction takes 7,000
    await bare.start()
    bare.open()
    bare.price("BTC/USD", 58_000)
    await bare.until(lambda: not bare.gate.state.is_running)
    assert "fees: the fee budget is less than one transaction's 7000 lamports: raise" in await refused_resume(
        bare
    )
    await reboot(bare, FEE_BUDGET_LAMPORTS="13999")  # enough for one, and for no second one
    bare.keep_prices_fresh()
    await bare.parts.wallet.refresh()
    await bare.parts.commands.resume("ada", "more money", bare.gate.state.version)
    await bare.until(lambda: not len(bare.parts.tracker) and bare.wire.sent)
    bare.parts.commands.emergency.trip("by hand")
    assert "7000 of 13999 lamports paid today (UTC), 0 in flight, 7000 for the next" in await refused_resume(
        bare
    )


# --- an invariant that is broken ---


async def test_an_outcome_without_an_intent_stops_the_engine_until_it_is_started_anew(rig, records):
    rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: len(rig.parts.tracker))
    (flight,) = rig.parts.tracker.flights
    outcome = records.success(records.intent())
    await rig.parts.aftermath.on_final(flight, outcome)
    assert rig.gate.state.reason.startswith(f"invariant broken: {outcome.signature} has an outcome and no")
    assert "invariants: " in await refused_resume(rig)
    await reboot(rig)
    assert not rig.gate.state.is_running
    rig.keep_prices_fresh()
    await rig.parts.wallet.refresh()
    await rig.parts.commands.resume("ada", "the log is kept", rig.gate.state.version)
    assert rig.gate.state.is_running


# --- a journal that cannot be read ---


async def test_a_journal_that_turns_out_to_be_damaged_stops_the_engine(rig):
    rig.journal._damage = "database disk image is malformed"
    rig.parts.sentinel.look_at_journal()
    with pytest.raises(SendingStopped, match="journal unreadable: database disk image is malformed"):
        rig.gate.check()
    assert "journal: unreadable (database disk image is malformed)" in await refused_resume(rig)


async def test_a_journal_whose_file_is_gone_keeps_the_engine_stopped(rig):
    await rig.parts.commands.stop("ada", "look")
    rig.journal.path.unlink()
    assert "journal.db is gone" in await refused_resume(rig)


async def test_a_second_cause_keeps_the_first_ones_words_and_is_told_by_the_checks(rig):
    rig.parts.commands.emergency.trip("first")
    rig.journal._damage = "second"
    rig.parts.sentinel.look_at_journal()
    assert rig.gate.state.reason == "first"
    assert "unreadable (second)" in await refused_resume(rig)


async def test_the_stop_of_the_engine_itself_is_kept_on_disk(rig, eventually):
    rig.parts.commands.emergency.trip("it must not be")
    await eventually(lambda: rig.gate.is_persisted)
    kept = json.loads((rig.directory / "gate.json").read_bytes())
    assert (kept["state"], kept["by"], kept["reason"]) == ("stopped", "engine", "it must not be")
