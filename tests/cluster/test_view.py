"""One node's look at the ledger: it lags, stands still, and never sees what it has not been told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.sandbox.cluster import Commitment, Genesis, Ledger
from engine.sandbox.cluster.blocks.retention import Retention
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.transactions.wire_transaction import decode_transaction

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
PROCESSED, CONFIRMED, FINALIZED = Commitment.PROCESSED, Commitment.CONFIRMED, Commitment.FINALIZED
NewKey = Callable[[], Pubkey]


def lamports(view: View, address: Pubkey, commitment: Commitment = PROCESSED) -> int:
    account = view.account_at(address, view.bank(commitment).slot)
    return 0 if account is None else account.lamports


def test_a_node_that_keeps_up_sees_what_the_ledger_sees(town: Town, key: NewKey) -> None:
    view = View(town.ledger)
    town.advance()
    town.plant(to := key(), SOL)
    assert (view.slot, view.slots_behind) == (town.ledger.slot, 0)
    assert [view.bank(level) for level in Commitment] == [town.ledger.bank(level) for level in Commitment]
    assert lamports(view, to) == SOL


def test_a_lagging_node_sees_older_banks_at_every_commitment(
    town: Town, key: NewKey, program_id: Pubkey
) -> None:
    view, address = View(town.ledger), key()
    town.advance(80)
    start = town.ledger.slot
    for step in range(1, 61):
        town.plant(address, step * SOL, b"", program_id)
        town.advance()
    view.lag(10)
    assert (view.slot, view.slots_behind) == (town.ledger.slot - 10, 10)
    slots = [view.bank(level).slot for level in Commitment]
    assert slots == [view.slot, view.slot - 1, view.slot - 31]
    for level in Commitment:
        expected = (view.bank(level).slot - start + 1) * SOL
        assert lamports(view, address, level) == expected
        ((found, account),) = view.program_accounts(program_id, level)
        assert (found, account.lamports) == (address, expected)
        assert view.program_addresses(program_id, view.bank(level).slot) == [address]
    view.lag(0)
    assert view.slots_behind == 0
    with pytest.raises(ValueError, match="-1 slots behind"):
        view.lag(-1)


def test_a_node_does_not_know_transactions_and_blocks_that_it_has_not_seen(town: Town, key: NewKey) -> None:
    view = View(town.ledger)
    town.advance()
    known = town.land(town.pay(key(), SOL))
    town.advance()
    view.freeze()
    town.advance()
    unknown = town.land(town.pay(key(), SOL))
    town.advance(2)
    assert view.slots_behind == 3
    assert view.landed(known.signatures[0]) is not None
    assert view.landed(unknown.signatures[0]) is None
    assert view.block(view.slot) is not None
    assert view.block(view.slot + 1) is None
    assert view.blocks(view.slot - 1, view.slot + 5) == [view.slot - 1, view.slot]
    view.thaw()
    assert view.landed(unknown.signatures[0]) is not None


def test_a_node_that_stands_still_reads_the_same_banks_for_long(town: Town, key: NewKey) -> None:
    view, address = View(town.ledger), key()
    town.plant(address, SOL)
    town.advance(100)
    view.freeze()
    banks = [view.bank(level) for level in Commitment]
    for step in range(2, 300):
        town.advance()
        town.plant(address, step * SOL)
    assert [view.bank(level) for level in Commitment] == banks
    assert [lamports(view, address, level) for level in Commitment] == [SOL] * 3
    assert view.latest_blockhash(view.bank(CONFIRMED)).slot == banks[1].slot
    assert view.commitment_of(banks[1].slot) is CONFIRMED
    assert view.commitment_of(banks[2].slot) is FINALIZED


def test_a_node_that_is_told_to_lag_far_behind_stands_still_until_it_is(town: Town) -> None:
    view = View(town.ledger)
    town.advance(100)
    view.lag(200)
    seen, oldest = view.slot, town.ledger.oldest_bank_slot
    assert seen == oldest == town.ledger.bank(FINALIZED).slot - 32
    # What lies below can no longer be read: nothing that old is named.
    assert [view.bank(level).slot for level in Commitment] == [oldest] * 3
    town.advance(100)
    assert view.slot == seen
    town.advance(100)
    assert view.slots_behind == 200


def test_the_past_that_is_kept_for_a_node_is_bounded(key: NewKey) -> None:
    retention = Retention(lag_slots=100, old_states=500)
    ledger = Ledger(Genesis.from_seed(b"bounded"), lambda: 1.0, retention)
    view, address = View(ledger), key()
    ledger.advance_slot()
    view.freeze()
    frozen = view.slot
    for _ in range(90):
        ledger.advance_slot()
    assert view.slot == frozen
    for _ in range(60):
        ledger.advance_slot()
    # It would be 150 behind by now; it sees the oldest bank that is still kept.
    assert view.slots_behind == 100
    for _ in range(40):
        for _ in range(50):
            ledger.airdrop(address, SOL)
            address = Keypair().pubkey()
        ledger.advance_slot()
    assert view.slot == ledger.oldest_bank_slot == ledger.bank(FINALIZED).slot


def test_a_node_that_saw_an_abandoned_fork_sees_the_one_that_counts(town: Town, key: NewKey) -> None:
    view = View(town.ledger)
    town.advance(3)
    kept = town.ledger.slot - 1
    town.land(town.pay(to := key(), SOL))
    town.advance()
    view.freeze()
    town.ledger.abandon(kept + 1)
    assert (view.slot, lamports(view, to)) == (kept, 0)


def test_a_simulation_for_a_lagging_node_sees_what_that_node_sees(town: Town, key: NewKey) -> None:
    view, payer = View(town.ledger), Keypair()
    town.advance(40)
    town.plant(payer.pubkey(), SOL)
    town.advance(5)
    view.lag(20)
    blockhash = view.latest_blockhash(view.bank(CONFIRMED)).value
    transaction = town.sign(town.pay(key(), SOL // 2, payer), payer=payer, blockhash=blockhash)
    wire = decode_transaction(bytes(transaction))
    assert town.ledger.simulate(wire, view.bank(PROCESSED)).fault == "AccountNotFound"
    assert town.ledger.simulate(wire, town.ledger.bank(PROCESSED)).fault is None
