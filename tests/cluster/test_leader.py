"""The leader: who runs first, what fits into a block, what waits, and what is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster import TransactionRefused
from engine.sandbox.cluster.ledger.leader import BlockLimits, Fate, Leader
from engine.sandbox.cluster.transactions.compute_budget import (
    compute_budget_of,
    fixed_cost_units,
    priority_of,
)
from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]


class Payers:
    """Payers who share no account, and their transactions at a price."""

    def __init__(self, town: Town) -> None:
        self._town = town

    def sign(self, *calls: Instruction, price: int = 0, limit: int = 10_000) -> VersionedTransaction:
        payer = Keypair()
        self._town.plant(payer.pubkey(), 100 * SOL)
        budget = [set_compute_unit_limit(limit), set_compute_unit_price(price)]
        return self._town.sign(*budget, *calls, payer=payer)


@pytest.fixture
def payers(town: Town) -> Payers:
    town.advance()
    return Payers(town)


def take_in(leader: Leader, *transactions: VersionedTransaction) -> None:
    for transaction in transactions:
        leader.take_in(bytes(transaction), skip_preflight=True)


def order_of(town: Town, slot: int | None = None) -> list[str]:
    return [str(each.signature) for each in town.ledger.history.in_slot(slot or town.ledger.slot)]


def names(*transactions: VersionedTransaction) -> list[str]:
    return [str(each.signatures[0]) for each in transactions]


def paying(town: Town, payer: Keypair, to: Pubkey, price: int) -> VersionedTransaction:
    return town.sign(
        set_compute_unit_limit(10_000),
        set_compute_unit_price(price),
        town.pay(to, SOL // 10, payer),
        payer=payer,
    )


def test_nothing_runs_until_the_leader_works(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger)
    take_in(leader, transaction := payers.sign())
    assert (leader.pending, len(town.ledger.history)) == (1, 0)
    leader.work()
    assert leader.pending == 0
    assert transaction.signatures[0] in town.ledger.history


def test_who_pays_more_per_unit_runs_first_and_equals_run_as_they_came(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger)
    low, high = payers.sign(price=10_000), payers.sign(price=90_000_000)
    same, middle = payers.sign(price=10_000), payers.sign(price=4_000_000)
    take_in(leader, low, high, same, middle)
    leader.work()
    assert order_of(town) == names(high, middle, low, same)


def test_a_rank_counts_the_reward_per_unit_that_a_block_gives_up(town: Town, payers: Payers) -> None:
    """The same fee for fewer requested units ranks higher: asking for more than is needed costs places."""
    leader = Leader(town.ledger)
    wasteful = payers.sign(price=1_000_000, limit=1_000_000)
    frugal = payers.sign(price=50_000_000, limit=20_000)
    take_in(leader, wasteful, frugal)
    leader.work()
    assert order_of(town) == names(frugal, wasteful)


def test_rivals_for_an_account_run_by_price_and_behind_those_in_nobodys_way(
    town: Town, payers: Payers, key: NewKey
) -> None:
    leader, wanted = Leader(town.ledger), key()
    lock = Instruction(_MEMO, b"mine", [AccountMeta(wanted, False, True)])
    first, second = payers.sign(lock, price=9_000_000), payers.sign(lock, price=8_000_000)
    third, alone = payers.sign(lock, price=7_000_000), payers.sign(price=10)
    take_in(leader, third, alone, second, first)
    leader.work()
    assert order_of(town) == names(first, alone, second, third)


def test_readers_of_an_account_share_it_and_writers_do_not(town: Town, payers: Payers, key: NewKey) -> None:
    leader, shared = Leader(town.ledger), key()
    reading = Instruction(_MEMO, b"read", [AccountMeta(shared, False, False)])
    writing = Instruction(_MEMO, b"write", [AccountMeta(shared, False, True)])
    reader, writer = payers.sign(reading, price=9_000_000), payers.sign(writing, price=8_000_000)
    other = payers.sign(reading, price=7_000_000)
    later = payers.sign(reading, price=9_500_000)
    take_in(leader, reader, writer, other, later)
    leader.work()
    assert order_of(town) == names(later, reader, writer, other)


def test_a_writer_never_overtakes_a_better_paying_reader(town: Town, payers: Payers, key: NewKey) -> None:
    leader, shared, busy = Leader(town.ledger), key(), key()
    first = payers.sign(Instruction(_MEMO, b"1", [AccountMeta(busy, False, True)]), price=9_000_000)
    metas = [AccountMeta(busy, False, True), AccountMeta(shared, False, False)]
    reader = payers.sign(Instruction(_MEMO, b"2", metas), price=8_000_000)
    writer = payers.sign(Instruction(_MEMO, b"3", [AccountMeta(shared, False, True)]), price=7_000_000)
    take_in(leader, writer, reader, first)
    leader.work()
    assert order_of(town) == names(first, reader, writer)


_MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


def _budget(message: AnyMessage) -> tuple[int, int]:
    budget = compute_budget_of(message, message.account_keys)
    return budget.unit_limit, fixed_cost_units(message, 1, budget)


def test_the_cost_of_a_transaction_is_what_agaves_cost_model_says(town: Town, payers: Payers) -> None:
    # 1 signature 720, 1 write lock 300, 14 bytes of data 3, 64 MiB that it may load 2,048 pages of 8 units.
    limit, fixed = _budget(payers.sign().message)
    assert (limit, fixed) == (10_000, 720 + 300 + 3 + 16_384)
    # Without a limit: 3,000 for a builtin instruction, 200,000 for another one, at most 1,400,000.
    memo = Instruction(_MEMO, b"hello", [])
    payment = town.pay(town.payer.pubkey(), 1)
    assert _budget(town.sign(payment, memo).message)[0] == 203_000
    assert _budget(town.sign(*[memo] * 8).message)[0] == 1_400_000
    loading = Instruction(_COMPUTE_BUDGET, b"\x04" + (32_769).to_bytes(4, "little"), [])
    assert _budget(town.sign(loading).message) == (3_000, 720 + 300 + 1 + 2 * 8)


_COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")


def test_the_rank_is_half_the_base_fee_and_all_of_the_priority_fee_per_unit(payers: Payers) -> None:
    message = payers.sign(price=2_000_000, limit=10_000).message
    budget = compute_budget_of(message, message.account_keys)
    assert budget.priority_fee_lamports == 20_000
    assert priority_of(message, budget, 22_499) == 22_500 * 1_000_000 // 22_500


def test_what_does_not_fit_into_a_block_waits_for_the_next(town: Town, payers: Payers) -> None:
    # Each costs 17,407 units beside the 10,000 that it may run: two fit into 60,000, not three.
    leader = Leader(town.ledger, BlockLimits(block_units=60_000))
    wanted = [payers.sign(price=price) for price in (3_000_000, 2_000_000, 1_000_000)]
    take_in(leader, *wanted)
    leader.work()
    assert order_of(town) == names(*wanted[:2])
    assert leader.pending == 1
    # What the first two did not use of their 10,000 units is free again: 24,586 are left, and 27,407 wanted.
    leader.work()
    assert leader.pending == 1
    town.advance()
    leader.work()
    assert order_of(town) == names(wanted[2])


def test_units_that_were_asked_for_and_not_used_are_free_again(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger, BlockLimits(block_units=240_000))
    one, other = payers.sign(limit=200_000), payers.sign(limit=200_000)
    take_in(leader, one, other)
    leader.work()
    assert order_of(town) == names(one)
    leader.work()
    assert order_of(town) == names(one, other)


def test_an_account_that_all_write_to_fills_up_and_lets_others_through(
    town: Town, payers: Payers, key: NewKey
) -> None:
    leader, wanted = Leader(town.ledger, BlockLimits(writable_account_units=60_000)), key()
    lock = Instruction(_MEMO, b"m", [AccountMeta(wanted, False, True)])
    rivals = [payers.sign(lock, price=price, limit=30_000) for price in (9_000_000, 8_000_000)]
    take_in(leader, *rivals, other := payers.sign(price=1))
    leader.work()
    assert order_of(town) == names(rivals[0], other)
    town.advance()
    leader.work()
    assert order_of(town) == names(rivals[1])


def test_one_call_runs_a_bounded_number_the_best_of_all(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger, BlockLimits(transactions_per_call=2))
    wanted = [payers.sign(price=price) for price in (1_000_000, 3_000_000, 2_000_000)]
    take_in(leader, *wanted)
    leader.work()
    assert order_of(town) == names(wanted[1], wanted[2])
    leader.work()
    assert order_of(town) == names(wanted[1], wanted[2], wanted[0])


def test_a_transaction_that_comes_often_waits_once_and_lands_once(town: Town, payers: Payers) -> None:
    leader, transaction = Leader(town.ledger), payers.sign()
    take_in(leader, *[transaction] * 5)
    assert leader.pending == 1
    leader.work()
    take_in(leader, transaction)
    leader.work()
    assert order_of(town) == names(transaction)
    assert town.ledger.dropped["AlreadyProcessed"] == 1


def test_a_full_pool_drops_the_lowest_paying_and_counts_it(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger, BlockLimits(waiting_transactions=2))
    low, high, middle, lowest = (payers.sign(price=price) for price in (2_000, 9_000_000, 4_000_000, 1))
    take_in(leader, low, high, middle, lowest)
    assert leader.pending == 2
    assert leader.dropped["no room"] == 2
    leader.work()
    assert order_of(town) == names(high, middle)


def test_one_whose_blockhash_has_expired_is_dropped_from_the_pool(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger, BlockLimits(block_units=27_407))
    stays, goes = payers.sign(price=9_000_000), payers.sign(limit=200_000)
    take_in(leader, stays, goes)
    leader.work()
    for _ in range(160):
        town.advance()
        leader.work()
    assert leader.pending == 0
    assert leader.dropped["expired"] == 1
    assert goes.signatures[0] not in town.ledger.history


def test_preflight_refuses_before_anything_waits(town: Town, payers: Payers, key: NewKey) -> None:
    leader = Leader(town.ledger)
    with pytest.raises(TransactionRefused, match="signature verification failure"):
        leader.take_in(bytes(_unsigned(payers.sign())), skip_preflight=False)
    failing = town.sign(town.pay(key(), 10**15))
    with pytest.raises(TransactionRefused, match="custom program error: 0x1"):
        leader.take_in(bytes(failing), skip_preflight=False)
    assert leader.pending == 0


def _unsigned(transaction: VersionedTransaction) -> VersionedTransaction:
    wrong = [Keypair().sign_message(b"no") for _ in transaction.signatures]
    return VersionedTransaction.populate(transaction.message, wrong)


def test_a_wrong_signature_without_preflight_waits_and_then_never_lands(town: Town, payers: Payers) -> None:
    leader = Leader(town.ledger)
    take_in(leader, _unsigned(payers.sign()))
    leader.work()
    assert (leader.pending, len(town.ledger.history)) == (0, 0)
    assert town.ledger.dropped["SignatureFailure"] == 1


def test_fate_loses_delays_and_fails_transactions_and_is_asked_once_about_each(
    town: Town, payers: Payers, key: NewKey
) -> None:
    leader, to = Leader(town.ledger), key()
    payer = Keypair()
    town.plant(payer.pubkey(), 100 * SOL)
    lost, late = payers.sign(), payers.sign()
    failing = paying(town, payer, to, 1_000_000)
    fault = {"InstructionError": [2, {"Custom": 6002}]}
    fates = {
        lost.signatures[0]: Fate(lost=True),
        late.signatures[0]: Fate(delay_slots=2),
        failing.signatures[0]: Fate(fault=fault),
    }
    asked = []
    leader.fate = lambda wire: asked.append(wire.signature) or fates[wire.signature]  # type: ignore[func-returns-value]
    take_in(leader, lost, late, late, failing)
    assert asked == [each.signatures[0] for each in (lost, late, failing)]
    leader.work()
    assert (leader.pending, leader.dropped["lost"]) == (1, 1)
    landed = town.ledger.history.get(failing.signatures[0])
    assert landed is not None
    assert (landed.fault, landed.fee_lamports) == (fault, 15_000)
    assert landed.metadata.logs()[-1].endswith("failed: custom program error: 0x1772")
    assert town.lamports(to) == 0
    assert town.lamports(payer.pubkey()) == 100 * SOL - 15_000
    town.advance()
    leader.work()
    assert leader.pending == 1
    town.advance()
    leader.work()
    assert order_of(town) == names(late)


def test_an_airdrop_waits_for_the_block_like_any_transaction(town: Town, key: NewKey) -> None:
    town.advance()
    leader, to = Leader(town.ledger), key()
    signature = leader.airdrop(to, SOL)
    assert (town.lamports(to), leader.pending) == (0, 1)
    leader.work()
    assert town.lamports(to) == SOL
    assert signature in town.ledger.history


def test_transactions_of_an_abandoned_fork_can_be_sent_anew(town: Town, payers: Payers) -> None:
    leader, transaction = Leader(town.ledger), payers.sign()
    town.advance()
    take_in(leader, transaction)
    leader.work()
    slot = town.ledger.slot
    town.advance()
    leader.take_back(town.ledger.abandon(slot))
    assert transaction.signatures[0] not in town.ledger.history
    leader.work()
    landed = town.ledger.history.get(transaction.signatures[0])
    assert landed is not None
    assert landed.slot == slot + 2
