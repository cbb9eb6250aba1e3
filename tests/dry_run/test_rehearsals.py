"""The real engine in a dry run, on virtual time: what it makes of rehearsals, and what it leaves alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rig import Rig
from solders.account import Account
from solders.keypair import Keypair

from engine.chain.port import Chain, RpcFailure
from engine.control import SendingStopped
from engine.domain import OutcomeClass
from engine.dry_run import _SEED, STAND_IN, dry_run_signer, in_own_schema
from engine.dry_run.transport import DryRunTransport
from engine.liquidation.tracker import Wire
from engine.protocol.accounts import encode_position
from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM

SOL = 10**9


class DryRig(Rig):
    """An engine that rehearses; by default with the wallet of its cluster."""

    def transport(self) -> tuple[Chain, Wire]:
        dry_run = DryRunTransport(
            self.chain, self.gate, self.clock, program_id=PROGRAM_ID, wallet=self.wallet.pubkey()
        )
        return dry_run, dry_run

    @property
    def landed(self) -> int:
        """Transactions of the wallet that are on the chain."""
        return len(self.ledger.history.naming(self.wallet.pubkey()))


@pytest.fixture
async def dry(tmp_path: Path) -> AsyncIterator[DryRig]:
    rig = DryRig(tmp_path)
    rig.boot()
    await rig.start()
    yield rig
    await rig.kill()


async def test_a_liquidation_is_decided_signed_journaled_and_rehearsed_and_nothing_leaves(dry):
    position = dry.open()
    before = dry.on_chain(position)
    dry.price("BTC/USD", 56_500)
    await dry.until(lambda: len(dry.outcomes()) == 1)
    (outcome,) = dry.outcomes()
    assert (outcome.outcome, outcome.landed) == (OutcomeClass.DRY_RUN, False)
    assert outcome.error_message == "dry run: would have liquidated, nothing was sent"
    assert outcome.liquidated_size_e6 == position.size_e6
    assert outcome.liquidation_price_e6 == 56_500 * 10**6
    assert outcome.fee_lamports > 5_000 and outcome.compute_units > 0 and outcome.bad_debt_lamports > 0
    assert dry.wire.sent == []
    assert dry.landed == 0
    assert dry.on_chain(position) == before
    totals = dry.parts.snapshots.take().totals
    assert (totals.rehearsed, totals.full, totals.partial, totals.failed) == (1, 0, 0, 0)


async def test_what_was_rehearsed_is_let_rest_even_after_a_snapshot_until_the_chain_changes_it(
    dry,
):
    position = dry.open()
    dry.price("BTC/USD", 56_500)
    await dry.until(dry.ended(position))
    assert dry.parts.holdings.book.get(position.address) is None
    dry.parts.ingest.on_connected()  # everything is read again
    for dollars in (56_400, 56_300):
        dry.price("BTC/USD", dollars)
        await dry.tick(10)
    assert dry.chain.asked.count("positions") == 2
    assert len(dry.outcomes()) == 1
    assert dry.parts.snapshots.take().totals.liquidatable_seen == 1
    grown = dry.open(address=position.address, size_e6=2 * position.size_e6)
    await dry.until(lambda: len(dry.outcomes()) == 2)
    assert dry.outcomes()[1].liquidated_size_e6 == grown.size_e6


async def test_after_a_partial_one_the_rest_is_watched_and_a_second_one_is_owned_up_to_as_not_rehearsed(dry):
    position = dry.open()
    dry.price("BTC/USD", 58_300)
    await dry.until(dry.ended(position))
    (first,) = dry.outcomes()
    left = dry.parts.holdings.book.get(position.address)
    assert left is not None
    assert left.size_e6 == position.size_e6 - first.liquidated_size_e6
    assert bytes(dry.on_chain(position).data) == encode_position(position)
    dry.price("BTC/USD", 55_000)
    await dry.until(lambda: len(dry.outcomes()) == 2)
    await dry.until(dry.ended(position))
    second = dry.outcomes()[1]
    assert (second.outcome, second.liquidated_size_e6) == (OutcomeClass.DRY_RUN, 0)
    assert "not rehearsed" in (second.error_message or "")
    assert dry.parts.holdings.book.get(position.address) is None
    assert dry.landed == 0


async def test_what_the_chain_would_refuse_is_refused_in_a_rehearsal_by_its_name(dry):
    position = dry.open()
    dry.ledger.set_account(dry.wallet.pubkey(), Account(0, b"", SYSTEM_PROGRAM))
    dry.parts.wallet.balance_lamports = None
    dry.price("BTC/USD", 56_500)
    await dry.until(lambda: len(dry.outcomes()) == 1)
    (outcome,) = dry.outcomes()
    assert (outcome.outcome, outcome.landed) == (OutcomeClass.INSUFFICIENT_FUNDS, False)
    assert (outcome.error_message or "").startswith("dry run: insufficient funds: ")
    assert dry.on_chain(position) is not None


async def test_a_stop_stops_a_dry_run_as_it_stops_the_real_one(dry):
    position = dry.open()
    await dry.gate.stop("ada", "now")
    dry.price("BTC/USD", 56_500)
    await dry.tick(5)
    assert dry.entry(position) is not None
    assert dry.outcomes() == []
    assert "simulate" not in dry.chain.asked


async def test_not_even_a_rehearsal_is_begun_behind_a_closed_gate(dry):
    await dry.gate.stop("ada", "now")
    chain, wire = dry.transport()
    with pytest.raises(SendingStopped):
        await wire.send(b"", lambda _: None)
    assert isinstance(chain, DryRunTransport)
    assert "simulate" not in dry.chain.asked


async def test_a_node_that_cannot_rehearse_leaves_the_transaction_open_until_it_can(dry):
    position = dry.open()
    dry.chain.faults.failing["simulate"] = RpcFailure("node error: busy")
    dry.price("BTC/USD", 56_500)
    await dry.until(lambda: "simulate" in dry.chain.asked)
    assert dry.outcomes() == []
    dry.chain.faults.failing.clear()
    await dry.until(dry.ended(position))
    assert [each.outcome for each in dry.outcomes()] == [OutcomeClass.DRY_RUN]


async def test_what_a_dry_run_left_open_is_followed_to_its_end_by_the_next_one(dry):
    position = dry.open()
    dry.price("BTC/USD", 56_500)
    await dry.until(lambda: len(dry.parts.tracker))
    await dry.kill()
    dry.boot()
    await dry.start()
    dry.keep_prices_fresh()
    await dry.until(lambda: dry.outcomes() != [])
    assert [each.outcome for each in dry.outcomes()] == [OutcomeClass.DRY_RUN]
    await dry.until(dry.ended(position))
    assert dry.landed == 0


async def test_without_a_key_somebody_who_can_pay_stands_in_and_an_empty_wallet_stops_nothing(tmp_path):
    rig = DryRig(tmp_path)
    authority = rig.wallet.pubkey()
    rig.wallet = Keypair.from_seed(_SEED)
    rig.boot()
    assert rig.parts.wallet.address == STAND_IN == dry_run_signer(None, "default").address
    await rig.start()
    try:
        position = rig.open()
        rig.price("BTC/USD", 56_500)
        await rig.until(rig.ended(position))
        (outcome,) = rig.outcomes()
        assert (outcome.outcome, outcome.landed) == (OutcomeClass.DRY_RUN, False)
        assert outcome.liquidated_size_e6 == position.size_e6
        assert rig.ledger.account(STAND_IN) is None
        assert rig.ledger.account(authority).lamports == 10 * SOL
    finally:
        await rig.kill()


def test_a_schema_of_its_own_is_added_to_whatever_the_url_says():
    assert in_own_schema("postgresql://a@b/c") == "postgresql://a@b/c?search_path=dry_run"
    assert in_own_schema("postgresql:///c?host=/run") == "postgresql:///c?host=/run&search_path=dry_run"
