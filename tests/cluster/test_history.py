"""The past that a ledger keeps: packed without loss, found by every key, and bounded."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Commitment, Genesis, Ledger
from engine.sandbox.cluster.blocks.history import LandedTransaction, TransactionHistory
from engine.sandbox.cluster.blocks.ordered_addresses import OrderedAddresses
from engine.sandbox.cluster.blocks.retention import Retention
from engine.sandbox.cluster.transactions.landed import open_chunk, pack, unpack
from engine.sandbox.cluster.transactions.token_balances import TokenBalance

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]


def same(one: LandedTransaction, other: LandedTransaction) -> bool:
    """Whether two say the same; the machine's metadata has no equality of its own."""
    return _comparable(one) == _comparable(other)


def _comparable(landed: LandedTransaction) -> tuple[object, ...]:
    accounts = landed.accounts
    return (
        landed.signature,
        landed.slot,
        landed.block_time_s,
        landed.wire.raw,
        accounts.every,
        accounts.writable,
        landed.fault,
        landed.pre_balances,
        landed.post_balances,
        bytes(landed.metadata),
        list(landed.pre_token_balances),
        list(landed.post_token_balances),
    )


def some_landed(town: Town, count: int, *, per_slot: int = 1) -> list[LandedTransaction]:
    """Transactions that landed, every third of them as failed."""
    landed = []
    for number in range(count):
        if number % per_slot == 0:
            town.advance()
        lamports = 10**15 if number % 3 == 2 else SOL + number
        signed = town.land(town.pay(Keypair().pubkey(), lamports))
        found = town.ledger.history.get(signed.signatures[0])
        assert found is not None
        landed.append(found)
    return landed


def test_packing_keeps_every_field(town: Town, key: NewKey) -> None:
    landed = some_landed(town, 4)
    held = TokenBalance(1, key(), key(), key(), 2**64 - 1, 6)
    holding = LandedTransaction(
        **{
            name: getattr(landed[0], name)
            for name in LandedTransaction.__slots__
            if not name.endswith("token_balances")
        },
        pre_token_balances=[held],
        post_token_balances=[held, held],
    )
    records = open_chunk(pack([*landed, holding]))
    for record, expected in zip(records, [*landed, holding], strict=True):
        assert same(unpack(record), expected)


def test_settled_transactions_are_found_as_they_were(town: Town) -> None:
    landed = some_landed(town, 40, per_slot=3)
    town.advance(40)
    history, payer = town.ledger.history, town.payer.pubkey()
    assert len(history) == 40
    for each in landed:
        found = history.get(each.signature)
        assert found is not None
        assert found is not each or each in landed[32:]
        assert same(found, each)
    named = history.naming(payer)
    assert [each.signature for each in named] == [each.signature for each in landed]
    assert named[-1].signature == landed[-1].signature
    assert [each.signature for each in named[3:6]] == [each.signature for each in landed[3:6]]
    with pytest.raises(IndexError):
        named[40]
    slot = landed[4].slot
    assert [each.signature for each in history.in_slot(slot)] == [each.signature for each in landed[3:6]]
    block = town.ledger.block(slot)
    assert block is not None
    assert [each.signature for each in block.transactions] == [each.signature for each in landed[3:6]]
    assert (history.count_until(slot), history.count_until(slot - 1)) == (6, 3)


def test_the_oldest_slots_are_forgotten_beyond_the_limit(town: Town) -> None:
    ledger = Ledger(Genesis.from_seed(b"few"), lambda: 1.0, Retention(transactions=100))
    signatures = []
    for _ in range(400):
        ledger.advance_slot()
        signatures.append((ledger.slot, ledger.airdrop(Keypair().pubkey(), SOL)))
    assert len(ledger.history) <= 151 + 16
    first = ledger.first_available_slot
    assert first > signatures[0][0]
    for slot, signature in signatures:
        assert (signature in ledger.history) is (slot >= first)
        assert (ledger.block(slot) is None) is (slot < first or slot == ledger.slot)
        assert bool(ledger.history.in_slot(slot)) is (slot >= first)
    assert ledger.blocks(0, ledger.slot)[0] == first
    faucet = ledger.history.get(signatures[-1][1])
    assert faucet is not None
    assert len(ledger.history.naming(faucet.accounts.static[0])) == len(ledger.history)
    assert ledger.transaction_count(ledger.slot) == 400


def test_what_could_still_land_twice_is_never_forgotten() -> None:
    ledger = Ledger(Genesis.from_seed(b"twice"), lambda: 1.0, Retention(transactions=1))
    ledger.advance_slot()
    payment = ledger.airdrop_payment(to := Keypair().pubkey(), SOL)
    ledger.execute(payment, signatures_checked=True)
    for _ in range(149):
        ledger.advance_slot()
        for _ in range(3):
            ledger.airdrop(Keypair().pubkey(), SOL)
    assert ledger.accepts_blockhash(ledger.bank(Commitment.PROCESSED), payment.message.recent_blockhash)
    assert ledger.execute(payment, signatures_checked=True) is None
    assert ledger.dropped["AlreadyProcessed"] == 1
    account = ledger.account(to)
    assert account is not None
    assert account.lamports == SOL


def test_blocks_are_forgotten_with_their_transactions() -> None:
    ledger = Ledger(Genesis.from_seed(b"blocks"), lambda: 1.0, Retention(blocks=200))
    ledger.advance_slot()
    old = [ledger.airdrop(Keypair().pubkey(), SOL) for _ in range(32)]
    for _ in range(300):
        ledger.advance_slot()
    assert ledger.first_available_slot == ledger.slot - 199
    assert not [signature for signature in old if signature in ledger.history]
    assert len(ledger.blocks(0, ledger.slot)) == 199
    with pytest.raises(ValueError, match="more blocks than"):
        Ledger(Genesis.from_seed(b"none"), lambda: 1.0, Retention(blocks=31))


@settings(max_examples=80)
@given(
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=200),
    read_at=st.integers(0, 100),
)
def test_ordered_addresses_equal_a_sorted_set(changes: list[tuple[bool, int]], read_at: int) -> None:
    ordered, model = OrderedAddresses(), set[Pubkey]()
    for number, (adding, which) in enumerate(changes):
        address = _ADDRESSES[which]
        if adding and address not in model:
            ordered.add(address)
            model.add(address)
        elif not adding and address in model:
            ordered.remove(address)
            model.remove(address)
        if number >= read_at:
            assert list(ordered) == sorted(model, key=bytes)
        assert len(ordered) == len(model)


_ADDRESSES = [Pubkey(os.urandom(32)) for _ in range(61)]


def test_addresses_stay_in_order_when_their_buckets_split_and_empty() -> None:
    ordered, addresses = OrderedAddresses(), [Pubkey(os.urandom(32)) for _ in range(6_000)]
    assert list(ordered) == []
    for address in addresses:
        ordered.add(address)
    assert list(ordered) == sorted(addresses, key=bytes)
    for address in addresses[:5_990]:
        ordered.remove(address)
    assert list(ordered) == sorted(addresses[5_990:], key=bytes)
    for address in addresses[5_990:]:
        ordered.remove(address)
    assert (list(ordered), len(ordered)) == ([], 0)


def test_both_halves_of_a_split_bucket_find_their_addresses() -> None:
    ordered, ascending = OrderedAddresses(), sorted((Pubkey(os.urandom(32)) for _ in range(2_049)), key=bytes)
    assert list(ordered) == []
    for address in ascending:
        ordered.add(address)
    for address in ascending[1_020:1_030]:
        ordered.remove(address)
    assert list(ordered) == ascending[:1_020] + ascending[1_030:]


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_day_of_slots_does_not_grow_beyond_what_is_kept() -> None:
    """216,000 slots of 400 ms, a payment and a price in each; memory is measured after a third of the day."""
    retention = Retention(transactions=20_000, blocks=10_000)
    ledger = Ledger(Genesis.from_seed(b"a day"), lambda: 1.0, retention)
    people, price = [Keypair().pubkey() for _ in range(1_000)], Keypair().pubkey()
    peaks_kb = []
    for slot in range(216_000):
        ledger.advance_slot()
        ledger.set_account(price, Account(SOL, slot.to_bytes(133, "little"), price))
        ledger.airdrop(people[slot % len(people)], 1_000_000)
        if slot % 72_000 == 71_999:
            peaks_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert len(ledger.history) <= 20_000 + 16
    assert peaks_kb[-1] - peaks_kb[0] < 8_000


def test_a_history_forgets_addresses_that_no_transaction_names_any_more(town: Town) -> None:
    history = TransactionHistory(kept=10)
    landed = some_landed(town, 40)
    for each in landed:
        history.add(each)
    history.settle(landed[-1].slot)
    once = landed[0].accounts.static[1]
    assert len(history.naming(once)) == 1
    assert history.forget_before(0, protected_slot=landed[-1].slot + 1) == landed[29].slot
    # Nothing is left of it, not even an empty list.
    assert (len(history), history.naming(once)) == (10, ())
    assert len(history.naming(town.payer.pubkey())) == 10
    assert history.forget_before(landed[-1].slot, protected_slot=landed[-1].slot + 1) == landed[31].slot
    # The rest waits to be packed.
    assert len(history) == 8
