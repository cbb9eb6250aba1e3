"""Skipped slots and abandoned forks: what disappears with them, and what never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.account import Account
from solders.clock import Clock
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster import Commitment, CommitmentDepths, Genesis, Ledger
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.machine import CLOCK_SYSVAR

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
PROCESSED, CONFIRMED, FINALIZED = Commitment.PROCESSED, Commitment.CONFIRMED, Commitment.FINALIZED
NewKey = Callable[[], Pubkey]


@dataclass
class Listener:
    """Writes down what a ledger tells, sysvars left out."""

    told: list[tuple[object, ...]] = field(default_factory=list)

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:
        if account is None or not str(account.owner).startswith("Sysvar"):
            self.told.append(("account", address, 0 if account is None else account.lamports, slot))

    def transaction_landed(self, landed: LandedTransaction) -> None:
        self.told.append(("landed", landed.signature, landed.slot))

    def slot_opened(self, slot: int, parent: int, root: int) -> None:
        self.told.append(("slot", slot, parent))

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        if commitment is CONFIRMED:
            self.told.append(("confirmed", slot))

    def slots_abandoned(self, first: int, last: int) -> None:
        self.told.append(("abandoned", first, last))


def test_a_skipped_slot_has_no_block_and_heights_fall_behind(town: Town) -> None:
    town.advance()
    ledger = town.ledger
    before, height = ledger.slot, ledger.block_height
    ledger.skip_slot()
    assert (ledger.slot, ledger.block_height) == (before + 2, height + 1)
    assert ledger.block_time_s(before + 1) is None
    ledger.advance_slot()
    assert ledger.blocks(before - 1, ledger.slot) == [before - 1, before, before + 2]
    assert ledger.block(before + 1) is None
    skipping = ledger.block(before + 2)
    parent = ledger.block(before)
    assert skipping is not None
    assert parent is not None
    assert (skipping.parent_slot, skipping.previous_blockhash) == (before, parent.blockhash)
    assert skipping.height == parent.height + 1


def test_a_commitment_is_counted_in_blocks_not_slots(town: Town) -> None:
    town.advance()
    newest = town.ledger.slot
    town.ledger.skip_slot()
    assert town.ledger.bank(CONFIRMED).slot == newest
    for _ in range(40):
        town.ledger.skip_slot()
    finalized = town.ledger.bank(FINALIZED)
    assert finalized.block_height == town.ledger.block_height - 31
    assert finalized.slot == town.ledger.slot - 62


def test_a_blockhash_lives_for_150_blocks_however_many_slots_pass(town: Town, key: NewKey) -> None:
    town.advance()
    transaction = town.sign(town.pay(to := key(), SOL))
    for _ in range(149):
        town.ledger.skip_slot()
    town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert town.lamports(to) == SOL


def test_an_abandoned_fork_takes_back_all_that_it_did(town: Town, key: NewKey) -> None:
    town.advance()
    to, opened, closed = key(), key(), key()
    town.plant(closed, SOL)
    town.land(town.pay(to, SOL))
    town.advance(2)
    ledger, first = town.ledger, town.ledger.slot
    paid = town.lamports(town.payer.pubkey())
    kept_hash = town.blockhash()
    one = town.land(town.pay(to, SOL))
    town.advance()
    two = town.land(town.pay(opened, 3 * SOL))
    town.plant(closed, 0)
    lost_hash = town.blockhash()
    last = ledger.slot
    returned = ledger.abandon(first)
    assert not ledger.accounts_changed_in(first)
    assert [each.signature for each in returned] == [one.signatures[0], two.signatures[0]]
    assert (ledger.slot, town.lamports(to), town.lamports(opened)) == (last + 1, SOL, 0)
    assert (town.lamports(closed), town.lamports(town.payer.pubkey())) == (SOL, paid)
    for transaction in (one, two):
        assert transaction.signatures[0] not in ledger.history
    assert len(ledger.history.naming(to)) == 1
    assert not ledger.history.naming(opened)
    assert town.blockhash() == kept_hash
    assert not ledger.accepts_blockhash(ledger.bank(PROCESSED), lost_hash)
    assert [slot for slot, _ in ledger.priority_fees.recent([], last + 1)][-2:] == [first - 1, last + 1]
    # The new block builds on the last one that is left.
    town.advance()
    block = ledger.block(last + 1)
    assert block is not None
    assert (block.parent_slot, block.previous_blockhash) == (first - 1, kept_hash)
    # And what was in the abandoned blocks can land after all.
    ledger.submit(bytes(one), skip_preflight=False)
    assert town.lamports(to) == 2 * SOL


def test_programs_see_the_clock_of_the_new_fork(town: Town) -> None:
    town.advance(3)
    ledger = town.ledger
    town.now_s += 100
    town.advance()
    town.now_s -= 100
    ledger.abandon(ledger.slot - 1)
    account = ledger.account(CLOCK_SYSVAR)
    assert account is not None
    clock = Clock.from_bytes(account.data)
    assert (clock.slot, clock.unix_timestamp) == (ledger.slot, int(town.now_s))


def test_subscribers_are_told_of_the_abandoned_slots_and_of_the_accounts_as_they_are_again(
    town: Town, key: NewKey
) -> None:
    town.advance()
    town.plant(to := key(), SOL)
    town.advance()
    first = town.ledger.slot
    town.plant(to, 5 * SOL)
    town.advance()
    town.ledger.observers.append(listener := Listener())
    town.ledger.abandon(first)
    new = first + 2
    assert listener.told == [
        ("abandoned", first, first + 1),
        ("slot", new, first - 1),
        ("account", to, SOL, new),
    ]
    assert next(iter(town.ledger.accounts_changed_in(new))) == to
    listener.told.clear()
    town.advance()
    assert listener.told == [("slot", new + 1, new), ("confirmed", new)]


def test_a_confirmed_block_may_disappear_and_a_finalized_one_never(town: Town, key: NewKey) -> None:
    town.advance()
    landed = town.land(town.pay(to := key(), SOL))
    town.advance(2)
    ledger = town.ledger
    slot = ledger.slot - 2
    assert ledger.commitment_of(slot) is CONFIRMED
    assert town.lamports(to, CONFIRMED) == SOL
    ledger.abandon(slot)
    assert landed.signatures[0] not in ledger.history
    assert town.lamports(to, CONFIRMED) == 0
    root = ledger.bank(FINALIZED).slot
    with pytest.raises(ValueError, match=f"{root} is finalized"):
        ledger.abandon(root)
    ledger.abandon(root + 1)
    assert ledger.bank(FINALIZED).slot == root
    # It stays where it is until as many blocks lie on top again.
    town.advance(30)
    assert ledger.bank(FINALIZED).slot == root
    town.advance()
    assert ledger.bank(FINALIZED).slot > root


@dataclass
class Model:
    """The simplest ledger there is: a full copy of all balances and signatures per block."""

    slot: int
    balances: dict[int, int]
    landed: frozenset[Signature] = frozenset()


_DEPTHS = CommitmentDepths(confirmed=1, finalized=3)
_WALLETS = [Keypair.from_seed(bytes([each]) * 32) for each in range(1, 4)]
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(0, 2), st.integers(0, 2), st.integers(1, 40)),
        st.tuples(st.just("advance"), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.just("skip"), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.just("abandon"), st.integers(0, 4), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=_STEPS)
def test_any_mix_of_payments_slots_skips_and_forks_equals_the_model(
    steps: list[tuple[str, int, int, int]],
) -> None:
    ledger, model, finalized = _fresh_ledger()
    supply = _supply(ledger)
    fees = 0
    for number, (kind, one, other, tenths) in enumerate(steps):
        if kind == "pay":
            fees += _pay(ledger, model, _WALLETS[one], other, tenths * SOL // 10, number)
        elif kind == "abandon":
            _abandon(ledger, model, finalized, back=one)
        else:
            (ledger.advance_slot if kind == "advance" else ledger.skip_slot)()
            model.append(Model(ledger.slot, dict(model[-1].balances), model[-1].landed))
            finalized = max(finalized, _at_depth(model, 3).slot)
        _compare(ledger, model, finalized)
    burned = 5_000 * len(model[-1].landed)
    assert supply - _supply(ledger) == burned <= fees


def _fresh_ledger() -> tuple[Ledger, list[Model], int]:
    genesis = Genesis(seed=b"forks", faucet=Keypair.from_seed(b"f" * 32), nonce=b"n" * 32, depths=_DEPTHS)
    ledger = Ledger(genesis, lambda: 1_000.0)
    for wallet in _WALLETS:
        ledger.set_account(wallet.pubkey(), Account(10 * SOL, b"", Pubkey.default()))
    for _ in range(5):
        ledger.advance_slot()
    start = dict.fromkeys(range(len(_WALLETS)), 10 * SOL)
    model = [Model(slot, dict(start)) for slot in range(ledger.slot - 4, ledger.slot + 1)]
    return ledger, model, ledger.bank(FINALIZED).slot


def _pay(ledger: Ledger, model: list[Model], payer: Keypair, to: int, lamports: int, number: int) -> int:
    """A payment that fails when it cannot be paid; answers its fee."""
    source = payer.pubkey()
    payment = transfer(
        TransferParams(from_pubkey=source, to_pubkey=_WALLETS[to].pubkey(), lamports=lamports + number)
    )
    blockhash = ledger.latest_blockhash(ledger.bank(PROCESSED)).value
    signed = VersionedTransaction(Message.new_with_blockhash([payment], source, blockhash), [payer])
    tip, index = model[-1], _WALLETS.index(payer)
    ledger.submit(bytes(signed), skip_preflight=True)
    landed = ledger.history.get(signed.signatures[0])
    assert landed is not None
    affordable = tip.balances[index] - 5_000 - lamports - number
    tip.balances[index] -= 5_000
    tip.landed |= {landed.signature}
    if to == index:
        assert (landed.fault is None) is (affordable >= 0)
    elif landed.fault is None:
        assert affordable >= 0
        tip.balances[index] -= lamports + number
        tip.balances[to] += lamports + number
    else:
        assert affordable < _RENT_EXEMPT
    return 5_000


_RENT_EXEMPT = 890_880


def _abandon(ledger: Ledger, model: list[Model], finalized: int, back: int) -> None:
    target = model[-min(back + 1, len(model))].slot
    last = ledger.slot
    if target <= finalized:
        with pytest.raises(ValueError, match="is finalized"):
            ledger.abandon(target)
        return
    gone = ledger.abandon(target)
    left = [each for each in model if each.slot < target]
    assert {wire.signature for wire in gone} == model[-1].landed - left[-1].landed
    model[:] = [*left, Model(last + 1, dict(left[-1].balances), left[-1].landed)]


def _at_depth(model: list[Model], depth: int) -> Model:
    return model[max(len(model) - 1 - depth, 0)]


def _compare(ledger: Ledger, model: list[Model], finalized: int) -> None:
    assert ledger.slot == model[-1].slot
    for commitment in Commitment:
        seen = _at_depth(model, _DEPTHS.of(commitment))
        if seen.slot < finalized:
            seen = next(each for each in model if each.slot == finalized)
        assert ledger.bank(commitment).slot == seen.slot
        for index, wallet in enumerate(_WALLETS):
            account = ledger.account(wallet.pubkey(), commitment)
            assert (0 if account is None else account.lamports) == seen.balances[index]
    assert len(ledger.history) == len(model[-1].landed)
    assert all(signature in ledger.history for signature in model[-1].landed)
    headers = [each.slot for each in model]
    assert ledger.blocks(headers[0], ledger.slot) == headers[:-1]
    for lower, upper in pairwise(headers[:-1]):
        block = ledger.block(upper)
        assert block is not None
        assert block.parent_slot == lower


def _supply(ledger: Ledger) -> int:
    return sum(account.lamports for _, account in ledger.accounts_at(ledger.slot))
