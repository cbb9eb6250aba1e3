"""The ledger by itself: slots, blockhashes, fees, duplicates, commitment levels, account versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.account import Account
from solders.clock import Clock
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.protocol import instructions
from engine.protocol.accounts import decode_position
from engine.protocol.addresses import PROGRAM_ID
from engine.sandbox import program
from engine.sandbox.cluster import Commitment, CommitmentDepths, Genesis, Ledger, TransactionRefused
from engine.sandbox.cluster.blocks.accounts import AccountStates
from engine.sandbox.cluster.ledger.machine import CLOCK_SYSVAR
from engine.sandbox.cluster.transactions.compute_budget import fee_lamports
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction, decode_transaction

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
PROCESSED, CONFIRMED, FINALIZED = Commitment.PROCESSED, Commitment.CONFIRMED, Commitment.FINALIZED
NewKey = Callable[[], Pubkey]


def test_a_transfer_moves_lamports_and_costs_5000_per_signature(town: Town, key: NewKey) -> None:
    town.advance()
    to, before = key(), town.lamports(town.payer.pubkey())
    town.land(town.pay(to, SOL))
    assert town.lamports(to) == SOL
    assert town.lamports(town.payer.pubkey()) == before - SOL - 5_000
    other = Keypair()
    town.plant(other.pubkey(), SOL)
    landed = town.land(town.pay(to, 1, other), town.pay(to, 1), signers=[other])
    record = town.ledger.history.get(landed.signatures[0])
    assert record is not None
    assert record.fee_lamports == 10_000


def test_the_priority_fee_is_price_times_limit_rounded_up(town: Town, key: NewKey) -> None:
    town.advance()
    town.plant(to := key(), SOL)
    limit, price = set_compute_unit_limit(1_001), set_compute_unit_price(1_234_567)
    landed = town.land(limit, price, town.pay(to, 1))
    record = town.ledger.history.get(landed.signatures[0])
    assert record is not None
    assert record.fee_lamports == 5_000 + 1_236  # 1001 * 1.234567 = 1235.80
    assert record.pre_balances[0] - record.post_balances[0] == record.fee_lamports + 1
    assert fee_lamports(Message.from_bytes(bytes(_legacy(town, [limit, price])))) == 6_236


def _legacy(town: Town, instructions: list[Instruction]) -> Message:
    return Message.new_with_blockhash(instructions, town.payer.pubkey(), town.blockhash())


def test_a_failed_transaction_pays_its_fee_and_changes_nothing_else(town: Town, key: NewKey) -> None:
    town.advance()
    to, before = key(), town.lamports(town.payer.pubkey())
    landed = town.land(town.pay(to, 10_000 * SOL))
    record = town.ledger.history.get(landed.signatures[0])
    assert record is not None
    assert record.fault == {"InstructionError": [0, {"Custom": 1}]}
    assert town.ledger.account(to) is None
    assert town.lamports(town.payer.pubkey()) == before - 5_000


def test_a_transaction_that_exceeds_its_compute_limit_lands_as_failed(town: Town, key: NewKey) -> None:
    town.advance()
    landed = town.land(set_compute_unit_limit(200), town.pay(key(), SOL))
    record = town.ledger.history.get(landed.signatures[0])
    assert record is not None
    assert record.fault == {"InstructionError": [1, "ComputationalBudgetExceeded"]}
    assert record.metadata.compute_units_consumed() == 200


@pytest.mark.parametrize(("blocks_later", "lands"), [(0, True), (150, True), (151, False)])
def test_a_blockhash_is_good_until_its_last_valid_block_height(
    town: Town, key: NewKey, blocks_later: int, lands: bool
) -> None:
    town.advance()
    block = town.ledger.latest_blockhash(town.ledger.bank(CONFIRMED))
    transaction = town.sign(town.pay(to := key(), SOL), blockhash=block.value)
    town.advance(blocks_later - 1 if blocks_later else 0)
    assert town.ledger.block_height == block.block_height + max(blocks_later, 1)
    town.ledger.submit(bytes(transaction), skip_preflight=True)
    assert (town.lamports(to) == SOL) is lands
    assert lands is (town.ledger.block_height <= block.last_valid_block_height)
    assert town.ledger.dropped["BlockhashNotFound"] == (0 if lands else 1)


def test_preflight_names_an_expired_or_foreign_blockhash(town: Town, key: NewKey) -> None:
    town.advance()
    transaction = town.sign(town.pay(key(), SOL), blockhash=Hash.new_unique())
    with pytest.raises(TransactionRefused) as refusal:
        town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert refusal.value.code == -32002
    assert refusal.value.message == "Transaction simulation failed: Blockhash not found"


def test_preflight_at_finalized_does_not_know_a_confirmed_blockhash(town: Town, key: NewKey) -> None:
    town.advance()
    transaction = town.sign(town.pay(key(), SOL), blockhash=town.blockhash(CONFIRMED))
    with pytest.raises(TransactionRefused, match="Blockhash not found"):
        town.ledger.submit(bytes(transaction), skip_preflight=False, preflight_commitment=FINALIZED)
    town.ledger.submit(bytes(transaction), skip_preflight=False, preflight_commitment=CONFIRMED)
    assert transaction.signatures[0] in town.ledger.history


def test_the_same_bytes_land_once_however_often_they_come(town: Town, key: NewKey) -> None:
    town.advance()
    transaction = town.sign(town.pay(to := key(), SOL))
    for _ in range(3):
        signature = town.ledger.submit(bytes(transaction), skip_preflight=True)
        assert signature == transaction.signatures[0]
        town.advance(40)
    assert town.lamports(to) == SOL
    assert town.ledger.dropped["AlreadyProcessed"] == 2
    with pytest.raises(TransactionRefused, match="This transaction has already been processed"):
        town.ledger.submit(bytes(transaction), skip_preflight=False)


def test_a_wrong_signature_is_refused_in_preflight_and_lost_without(town: Town, key: NewKey) -> None:
    town.advance()
    good = town.sign(town.pay(to := key(), SOL))
    forged = VersionedTransaction.populate(good.message, [Keypair().sign_message(b"something else")])
    with pytest.raises(TransactionRefused) as refusal:
        town.ledger.submit(bytes(forged), skip_preflight=False)
    assert refusal.value.code == -32003
    assert refusal.value.message == "Transaction signature verification failure"
    town.ledger.submit(bytes(forged), skip_preflight=True)
    assert town.ledger.account(to) is None
    assert town.ledger.dropped["SignatureFailure"] == 1


def test_a_payer_without_lamports_never_lands(town: Town, key: NewKey) -> None:
    town.advance()
    poor = Keypair()
    transaction = town.sign(town.pay(key(), 1, poor), payer=poor)
    with pytest.raises(TransactionRefused, match="no record of a prior credit"):
        town.ledger.submit(bytes(transaction), skip_preflight=False)
    town.ledger.submit(bytes(transaction), skip_preflight=True)
    assert transaction.signatures[0] not in town.ledger.history


def test_an_account_below_the_rent_exempt_minimum_is_refused(town: Town, key: NewKey) -> None:
    town.advance()
    transaction = town.sign(town.pay(key(), 1))
    with pytest.raises(TransactionRefused) as refusal:
        town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert refusal.value.message == (
        "Transaction simulation failed: "
        "Transaction results in an account (1) with insufficient funds for rent"
    )


@given(raw=st.binary(max_size=1_400))
def test_random_bytes_are_refused_with_a_code(raw: bytes) -> None:
    with pytest.raises(TransactionRefused) as refusal:
        _SHARED.submit(raw, skip_preflight=True)
    assert refusal.value.code == -32602


@given(position=st.integers(0, 214), byte=st.integers(0, 255))
def test_a_damaged_transaction_never_breaks_the_ledger_nor_lands(position: int, byte: int) -> None:
    payer = Keypair.from_seed(b"p" * 32)
    message = Message.new_with_blockhash([], payer.pubkey(), _SHARED_HASH)
    raw = bytearray(bytes(VersionedTransaction(message, [payer])))
    position %= len(raw)
    damage = byte if byte != raw[position] else byte ^ 1
    raw[position] = damage
    try:
        _SHARED.submit(bytes(raw), skip_preflight=True)
    except TransactionRefused as refusal:
        assert refusal.code == -32602
    assert len(_SHARED.history) == 0


_SHARED = Ledger(Genesis.from_seed(b"hostile"), lambda: 1.0)
_SHARED_HASH = _SHARED.latest_blockhash(_SHARED.bank(PROCESSED)).value
_SHARED.set_account(Keypair.from_seed(b"p" * 32).pubkey(), Account(SOL, b"", Pubkey.default()))


def test_an_oversize_transaction_is_refused_although_the_machine_would_run_it(
    town: Town, key: NewKey
) -> None:
    town.advance()
    many = [town.pay(key(), SOL) for _ in range(30)]
    transaction = town.sign(*many)
    assert len(bytes(transaction)) > 1_232
    with pytest.raises(TransactionRefused, match=r"too large: \d+ bytes \(max: 1232 bytes\)"):
        town.ledger.submit(bytes(transaction), skip_preflight=True)


def test_banks_see_accounts_as_of_their_own_slot(town: Town, key: NewKey) -> None:
    town.advance()
    address = key()
    town.plant(address, 1)
    town.advance()
    town.plant(address, 2)
    assert [town.lamports(address, level) for level in (PROCESSED, CONFIRMED, FINALIZED)] == [2, 1, 0]
    town.advance(30)
    assert [town.lamports(address, level) for level in (PROCESSED, CONFIRMED, FINALIZED)] == [2, 2, 1]
    town.advance()
    assert town.lamports(address, FINALIZED) == 2
    town.plant(address, 0)
    assert [town.lamports(address, level) for level in (PROCESSED, CONFIRMED)] == [0, 2]


def test_genesis_is_finalized_from_the_start(town: Town) -> None:
    assert town.lamports(town.payer.pubkey(), FINALIZED) == 1_000 * SOL
    town.advance()
    assert town.lamports(town.payer.pubkey(), FINALIZED) == 1_000 * SOL


def test_an_account_closed_by_a_transaction_is_gone(town: Town, key: NewKey) -> None:
    town.advance()
    other = Keypair()
    town.plant(other.pubkey(), SOL)
    town.land(town.pay(key(), SOL, other), signers=[other])
    assert town.ledger.account(other.pubkey()) is None


def test_program_accounts_follow_owner_changes_at_every_level(
    town: Town, key: NewKey, program_id: Pubkey
) -> None:
    town.advance()
    stays, leaves = sorted((key(), key()), key=bytes)
    town.plant(stays, 1, b"a", program_id)
    town.plant(leaves, 1, b"b", program_id)
    town.advance()
    town.plant(leaves, 1, b"b")
    comes = key()
    town.plant(comes, 1, b"c", program_id)

    def members(level: Commitment) -> list[Pubkey]:
        return [address for address, _ in town.ledger.program_accounts(program_id, level)]

    assert members(PROCESSED) == sorted((stays, comes), key=bytes)
    assert members(CONFIRMED) == [stays, leaves]
    assert members(FINALIZED) == []


@given(
    writes=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=60
    )
)
def test_versions_equal_full_copies_of_every_slot(writes: list[tuple[int, int, int, bool]]) -> None:
    """Model test: a copy of the whole state per slot is what every bank must see."""
    owners, addresses, depth = _KEYS[:3], _KEYS[3:7], 3
    latest: dict[Pubkey, Account] = {}
    states, slot, model = AccountStates(latest.get), 0, {0: dict[Pubkey, Account]()}
    for number, (which, owner, lamports, advance) in enumerate(writes, start=1):
        if advance:
            slot += 1
            model[slot] = dict(model[slot - 1])
            states.forget_before(slot - depth, sacrificed_before=slot - depth)
        address = addresses[which]
        account = Account(lamports, number.to_bytes(2, "little"), owners[owner]) if lamports else None
        states.write(address, latest.get(address), account, slot)
        for known in (latest, model[slot]):
            known.pop(address, None)
            if account is not None:
                known[address] = account
        for seen in range(max(0, slot - depth), slot + 1):
            assert {a: s for a in addresses if (s := states.at(a, seen)) is not None} == model[seen]
            for owner_key in owners:
                expected = {a: s for a, s in model[seen].items() if s.owner == owner_key}
                found = list(states.owned_by(owner_key, seen))
                assert dict(found) == expected
                assert [a for a, _ in found] == sorted(expected, key=bytes)


_KEYS = [Pubkey(os.urandom(32)) for _ in range(7)]


def test_slots_move_the_clock_that_programs_see(town: Town) -> None:
    town.advance()
    town.now_s += 100
    town.advance()
    account = town.ledger.account(CLOCK_SYSVAR)
    assert account is not None
    clock = Clock.from_bytes(account.data)
    assert (clock.slot, clock.unix_timestamp) == (town.ledger.slot, int(town.now_s))
    town.now_s -= 1_000
    town.advance()
    assert town.ledger.unix_time_s == clock.unix_timestamp


def test_a_simulation_sees_the_state_and_clock_of_its_commitment(town: Town, key: NewKey) -> None:
    town.advance()
    other = Keypair()
    town.plant(other.pubkey(), SOL)
    transaction = town.sign(town.pay(key(), SOL // 2, other), payer=other)
    submitted = town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert submitted == transaction.signatures[0]
    # At confirmed the payer does not exist yet.
    again = town.sign(town.pay(key(), SOL // 4, other), payer=other)
    with pytest.raises(TransactionRefused, match="no record of a prior credit"):
        town.ledger.submit(bytes(again), skip_preflight=False, preflight_commitment=CONFIRMED)
    # The rewound machine has come back to the present.
    assert town.lamports(other.pubkey()) == SOL - SOL // 2 - 5_000
    assert town.ledger.submit(bytes(again), skip_preflight=False) in town.ledger.history


def test_programs_see_the_present_again_after_a_simulation_of_the_past(town: Town) -> None:
    town.ledger.add_program(PROGRAM_ID, program.load())
    town.advance()
    town.now_s += 1_000
    town.advance()
    past = town.ledger.simulate(_decoded(town, []), town.ledger.bank(FINALIZED), replayable=True)
    assert past.bank.unix_time_s < town.ledger.unix_time_s
    position = Keypair()
    opening = instructions.create_position(
        position.pubkey(), town.payer.pubkey(), "SOL/USD", size_e6=10**6, collateral_e6=10**7,
        entry_price_e6=10**8, leverage=10, is_long=True,
    )  # fmt: skip
    town.land(opening, signers=[position])
    account = town.ledger.account(position.pubkey())
    assert account is not None
    decoded = decode_position(position.pubkey(), account.data, town.ledger.slot)
    assert decoded.created_at_s == town.ledger.unix_time_s


def _decoded(town: Town, wanted: list[Instruction]) -> WireTransaction:
    return decode_transaction(bytes(town.sign(*wanted)))


def test_airdrops_are_signed_transactions_with_signatures_of_their_own(town: Town, key: NewKey) -> None:
    town.advance()
    to = key()
    first, second = town.ledger.airdrop(to, SOL), town.ledger.airdrop(to, SOL)
    assert first != second
    assert town.lamports(to) == 2 * SOL
    record = town.ledger.history.get(first)
    assert record is not None
    assert record.wire.has_valid_signatures()


def test_commitment_depths_are_settable() -> None:
    genesis = Genesis(seed=b"", faucet=Keypair(), depths=CommitmentDepths(confirmed=2, finalized=5))
    ledger = Ledger(genesis, lambda: 1.0)
    ledger.advance_slot()
    slots = [ledger.bank(level).slot for level in (PROCESSED, CONFIRMED, FINALIZED)]
    assert slots == [ledger.slot, ledger.slot - 2, ledger.slot - 5]
    with pytest.raises(ValueError, match="depths"):
        CommitmentDepths(confirmed=3, finalized=2)


def test_two_starts_of_one_seed_differ_in_genesis_hash_and_share_the_faucet() -> None:
    one, two = Genesis.from_seed(b"s"), Genesis.from_seed(b"s")
    assert one.hash() != two.hash()
    assert one.faucet == two.faucet
    repeated = Genesis.from_seed(b"s", nonce=one.nonce)
    assert repeated.hash() == one.hash()
    first, second = Ledger(one, lambda: 5.0), Ledger(repeated, lambda: 5.0)
    for ledger in (first, second):
        ledger.airdrop(_KEYS[0], SOL)
        ledger.advance_slot()
    tips = [ledger.latest_blockhash(ledger.bank(PROCESSED)).value for ledger in (first, second)]
    assert tips[0] == tips[1]


def test_block_heights_stay_below_slots(town: Town) -> None:
    town.advance()
    assert town.ledger.block_height == town.ledger.slot - 32
