"""Verification against a real cluster and a real database: silent when all is well, and loud at each lie."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from engine.clock import SystemClock
from engine.domain import Action
from engine.errors import DatabaseUnavailable, RpcUnreachable
from engine.journal import Journal
from engine.liquidation.outcomes import Stamps, expired_outcome
from engine.protocol import instructions
from engine.protocol.addresses import (
    PROGRAM_ID,
)
from engine.store.outbox import OutboxShipper
from engine.store.retention import make_days, prune
from engine.verify import Violations, verify

NONE = Violations(0, 0, 0, 0)


async def test_an_honest_engine_has_no_violations_and_both_sides_count_the_same(world):
    full = await world.liquidate(world.position(collateral_e6=31_000_000))
    partial = await world.liquidate(world.position(collateral_e6=50_000_000))
    under_water = await world.liquidate(world.position(collateral_e6=1_000_000))
    assert [each.action for each in (full, partial, under_water)] == [
        Action.FULL,
        Action.PARTIAL,
        Action.FULL,
    ]
    report = await world.verify()
    assert report.findings == []
    assert report.violations == NONE
    chain, database = report.chain, report.database
    assert (chain.liquidation_transactions_landed, chain.landed_with_error) == (3, 0)
    assert (chain.full, chain.partial) == (2, 1)
    assert (database.liquidations, database.intents, database.open_intents) == (3, 3, 0)
    assert chain.fees_lamports == database.fees_lamports > 0
    assert chain.bad_debt_covered_lamports == database.bad_debt_covered_lamports == 10**8
    assert chain.bad_debt_uncovered_lamports == database.bad_debt_uncovered_lamports > 0


async def test_a_landed_transaction_without_a_row_is_found(world):
    intent = await world.liquidate(world.position())
    assert await world.shipper.drain(10)
    await world.sql("DELETE FROM liquidations")
    report = await world.verify()
    assert report.violations == replace(NONE, landed_not_recorded=1)
    assert str(intent.signature) in report.findings[0]


async def test_what_the_record_pruned_is_no_violation_and_what_it_lacks_otherwise_still_is(world):
    old = await world.liquidate(world.position())
    assert await world.shipper.drain(10)
    await world.sql("UPDATE intents SET created_at = created_at - interval '90 days'")
    await world.sql("UPDATE liquidations SET created_at = created_at - interval '90 days'")
    await make_days(world.shipper._database, time.time_ns(), 100)
    await prune(world.shipper._database, time.time_ns(), 30)
    assert (await world.verify()).violations == NONE
    young = await world.liquidate(world.position())
    assert await world.shipper.drain(10)
    await world.sql("DELETE FROM liquidations")
    report = await world.verify()
    assert report.violations == replace(NONE, landed_not_recorded=1)
    assert str(young.signature) in report.findings[0]
    assert str(old.signature) not in report.findings[0]


LIES = [
    "liquidated_size = liquidated_size + 1",
    "liquidation_price = liquidation_price - 1",
    "reward = reward + 1",
    "fee = 0",
    "bad_debt = bad_debt + 1",
    "bad_debt = bad_debt + 1, uncovered_bad_debt = uncovered_bad_debt - 1",
    "slot = slot + 1",
    "error_message = 'timeout'",
    "landed = false",
]


async def test_a_row_that_disagrees_with_the_chain_in_any_figure_is_found(world):
    await world.liquidate(world.position(collateral_e6=1_000_000))
    assert await world.shipper.drain(10)
    await world.sql("CREATE TABLE truth AS SELECT * FROM liquidations")
    for lie in LIES:
        await world.sql(f"UPDATE liquidations SET {lie}")
        report = await world.verify()
        assert report.violations == replace(NONE, landed_not_recorded=1), lie
        await world.sql("DELETE FROM liquidations")
        await world.sql("INSERT INTO liquidations OVERRIDING SYSTEM VALUE SELECT * FROM truth")
    assert (await world.verify()).violations == NONE


async def test_a_success_that_the_chain_does_not_know_is_found(world):
    intent = world.sign(world.position())
    await world.journal.record_intent(intent)
    await world.journal.record_outcome(world.records.success(intent))
    report = await world.verify()
    assert report.violations.recorded_not_landed == 1


async def test_a_success_that_failed_on_chain_is_found(world):
    position = world.position()
    first, second = world.sign(position), world.sign(position)
    await world.journal.record_intent(first)
    world.publish()
    world.ledger.submit(first.raw_transaction, skip_preflight=True)
    world.ledger.submit(second.raw_transaction, skip_preflight=True)
    world.finalize()
    await world.record_outcome(first)
    later = replace(second, created_at_ns=time.time_ns())
    await world.journal.record_intent(later)
    await world.record_outcome(later, error_message=None)
    report = await world.verify()
    assert report.chain.landed_with_error == 1
    assert report.violations.recorded_not_landed == 1


async def test_an_intent_that_its_own_inputs_do_not_justify_is_found(world):
    healthy = world.position(collateral_e6=900_000_000)
    await world.liquidate(healthy)
    report = await world.verify()
    assert report.chain.landed_with_error == 1
    assert report.violations == replace(NONE, healthy_submitted=1)


async def test_a_stale_price_in_the_inputs_is_found(world):
    position = world.position()
    intent = world.sign(position)
    stale = intent.decision_json.replace('"verdict":"ok"', '"verdict":"stale"')
    assert stale != intent.decision_json
    await world.journal.record_intent(replace(intent, decision_json=stale))
    world.land(intent)
    await world.record_outcome(intent)
    assert (await world.verify()).violations == replace(NONE, healthy_submitted=1)


async def test_a_refusal_by_the_program_without_an_intent_is_found(world):
    intent = world.sign(world.position(collateral_e6=900_000_000))
    world.land(intent)
    report = await world.verify()
    assert report.violations == replace(NONE, healthy_submitted=1, landed_not_recorded=1)


async def test_an_intent_about_another_position_than_it_liquidates_is_found(world):
    intent = world.sign(world.position())
    other = world.sign(world.position())
    await world.journal.record_intent(
        replace(intent, position=other.position, decision_json=other.decision_json)
    )
    world.land(intent)
    await world.record_outcome(intent)
    assert (await world.verify()).violations.healthy_submitted == 1


async def test_a_second_signature_before_the_first_was_final_is_found(world):
    position = world.position(collateral_e6=50_000_000)
    second = world.sign(position)
    first = await world.liquidate(position)
    await world.journal.record_intent(replace(second, created_at_ns=first.created_at_ns + 1000))
    report = await world.verify()
    assert report.violations == replace(NONE, submitted_twice=1)
    assert str(second.signature) in report.findings[0]


async def test_an_expiry_that_was_declared_too_early_is_found_and_a_true_one_is_not(world):
    position = world.position()
    first = world.sign(position)
    await world.journal.record_intent(first)
    await world.journal.record_outcome(expired_outcome(first, Stamps(time.time_ns(), None, None)))
    await world.journal.record_intent(world.sign(position))
    assert (await world.verify()).violations == replace(NONE, submitted_twice=1)
    world.finalize(200)
    assert (await world.verify()).violations == NONE


async def test_bytes_that_never_left_need_not_expire(world):
    position = world.position()
    first = world.sign(position)
    await world.journal.record_intent(first)
    await world.journal.record_outcome(expired_outcome(first, Stamps(None, None, None)))
    await world.journal.record_intent(world.sign(position))
    assert (await world.verify()).violations == NONE


async def test_a_position_closed_twice_is_found_unless_its_owner_opened_it_again(world):
    owner = Keypair()
    world.ledger.airdrop(owner.pubkey(), 10**10)
    await world.liquidate(world.position(owner, collateral_e6=31_000_000))
    reopened = world.position(owner, collateral_e6=31_000_000)  # planted by no transaction
    await world.liquidate(reopened)
    report = await world.verify()
    assert report.violations == replace(NONE, submitted_twice=1)
    assert str(reopened.address) in report.findings[0]


async def test_a_position_that_its_owner_opened_again_may_be_closed_again(world):
    owner = Keypair()
    world.ledger.airdrop(owner.pubkey(), 10**10)
    first = world.position(owner, collateral_e6=31_000_000)
    await world.liquidate(first)
    opening = instructions.open_position(
        owner.pubkey(),
        "SOL/USD",
        size_e6=10_000_000,
        collateral_e6=31_000_000,
        entry_price_e6=100_000_000,
        leverage=20,
    )
    blockhash = world.blockhash().value
    raw = bytes(Transaction([owner], Message([opening], owner.pubkey()), blockhash))
    world.ledger.submit(raw, skip_preflight=False)
    world.finalize()
    await world.liquidate(first)
    report = await world.verify()
    assert report.chain.full == 2
    assert report.violations == NONE


async def test_rows_of_another_cluster_in_the_same_database_are_not_ours(world, tmp_path, records):
    journal = Journal.open(tmp_path / "other.db", f"elsewhere/{world.wallet.pubkey()}/{PROGRAM_ID}")
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(records.success(intent))
    assert await OutboxShipper(journal, world.shipper._database, SystemClock()).drain(10)
    report = await world.verify()
    assert report.violations == NONE
    assert report.database.liquidations == 0
    await journal.close()


async def test_a_database_without_tables_has_no_rows(world, empty_database):
    world.dsn = empty_database
    report = await world.verify()
    assert (report.violations, report.database.intents) == (NONE, 0)


async def test_an_unreachable_node_or_database_is_one_line(world):
    wallet = world.wallet.pubkey()
    with pytest.raises(RpcUnreachable, match=r"^The RPC node 127\.0\.0\.1 did not answer .*SOLANA_RPC_URL$"):
        await verify(["http://127.0.0.1:9/?api-key=secret"], world.dsn, wallet, PROGRAM_ID, patience_s=0.3)
    with pytest.raises(DatabaseUnavailable, match="Database connection failed"):
        await verify([world.rpc_url], "postgresql://u@127.0.0.1:9/db", wallet, PROGRAM_ID)


async def test_a_clock_that_was_set_back_makes_no_violation_of_a_true_end(world):
    position = world.position(collateral_e6=50_000_000)
    first = await world.liquidate(position)
    set_back_ns = first.created_at_ns - 3600 * 10**9
    await world.journal.record_intent(world.sign(position, created_at_ns=set_back_ns))
    assert (await world.verify()).violations == NONE


async def test_a_clock_that_was_set_back_hides_no_signature_before_the_first_was_final(world):
    position = world.position(collateral_e6=50_000_000)
    second = world.sign(position)
    first = await world.liquidate(position)
    set_back_ns = first.created_at_ns - 3600 * 10**9
    await world.journal.record_intent(replace(second, created_at_ns=set_back_ns))
    assert (await world.verify()).violations == replace(NONE, submitted_twice=1)


async def test_a_clock_that_was_set_back_hides_no_expiry_that_was_declared_too_early(world):
    for slots, violations in ((200, 0), (5, 1)):
        position = world.position()
        first = world.sign(position)
        await world.journal.record_intent(first)
        await world.journal.record_outcome(expired_outcome(first, Stamps(time.time_ns(), None, None)))
        world.finalize(slots)
        set_back_ns = time.time_ns() - 3600 * 10**9
        await world.journal.record_intent(world.sign(position, created_at_ns=set_back_ns))
        world.finalize(200)
        assert (await world.verify()).violations == replace(NONE, submitted_twice=violations)
