"""What the engine asks its database about the past, and the positions that it keeps there for others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from arrived import rows
from solders.pubkey import Pubkey

from engine.clock import SystemClock
from engine.domain import NO_FAILURE, Band
from engine.journal import (
    FundTransaction,
    FundTransactionKind,
)
from engine.store.history import PeriodTotals, known_fund_transactions, totals_of_last_day
from engine.store.last_day import LastDay
from engine.store.pool import open_pool
from engine.store.positions import PositionSample, PositionSampler


async def test_the_last_day_is_told_as_the_database_has_it_and_not_at_all_while_that_is_away(
    journal, records, shipper, database
):
    done, failed = records.intent(), records.intent()
    for intent in (done, failed):
        await journal.record_intent(intent)
    await journal.record_outcome(records.success(done))
    await journal.record_outcome(records.expiry(failed, fee_lamports=0))
    assert await shipper.drain(10)
    told: list[tuple[PeriodTotals, int]] = []
    at_this_time = done.detected_at_ns + 10**9

    class Standing(SystemClock):
        def now_ns(self) -> int:
            return at_this_time

    day = LastDay(database, records.identity, Standing(), lambda totals, at_ns: told.append((totals, at_ns)))
    await day.ask()
    ((totals, at_ns),) = told
    assert (totals.full + totals.partial, totals.failed, at_ns) == (1, 1, at_this_time)
    await database.close()
    await day.ask()
    assert len(told) == 1


async def test_what_the_engine_asks_about_the_past_is_right(journal, records, shipper, database):
    full, partial, failed = records.intent(), records.intent(), records.intent()
    faultless = [records.intent() for _ in NO_FAILURE]
    for intent in (full, partial, failed, *faultless):
        await journal.record_intent(intent)
    for intent, outcome in zip(faultless, NO_FAILURE, strict=True):
        await journal.record_outcome(records.expiry(intent, outcome=outcome, fee_lamports=0))
    await journal.record_outcome(records.success(full, bad_debt_lamports=10, covered_lamports=4))
    await journal.record_outcome(records.success(partial))
    await journal.record_outcome(records.expiry(failed, fee_lamports=0))
    movement = FundTransaction(
        full.signature, FundTransactionKind.COVERAGE, 4, Pubkey.new_unique(), 5, 6, event_index=1
    )
    await journal.record_fund_transaction(movement)
    assert await shipper.drain(10)
    at_ns = full.detected_at_ns + 10**9
    totals = await totals_of_last_day(database, records.identity, at_ns)
    assert (totals.attempts, totals.full, totals.failed, totals.already_liquidated) == (6, 2, 1, 1)
    assert (totals.fees_lamports, totals.covered_lamports, totals.uncovered_lamports) == (10_020, 4, 6)
    later = await totals_of_last_day(database, records.identity, at_ns + 100 * 86_400 * 10**9)
    assert later.full == 0
    other = await totals_of_last_day(database, "other/wallet/program", at_ns)
    assert other.attempts == 0
    known = await known_fund_transactions(database, records.identity)
    assert known == {(str(full.signature), FundTransactionKind.COVERAGE, 1)}


async def test_position_samples_show_the_newest_and_go_with_the_position(database, database_url, records):
    sampler = PositionSampler(database, records.identity, SystemClock())
    decision = records.decision()
    sample = PositionSample(decision.position, 97 * 10**6, decision.health, Band.LIQUIDATABLE, 10**9)
    other = replace(sample, position=records.decision().position, health=None, band=Band.UNKNOWN)
    sampler.offer([replace(sample, at_ns=1), sample, other])
    await sampler.flush()
    found = await rows(database_url, "SELECT * FROM positions ORDER BY health_factor")
    assert found[0]["health_factor"] == pytest.approx(decision.health.factor)
    assert found[0]["updated_at"] == datetime.fromtimestamp(1, UTC)
    assert (found[1]["health_factor"], found[1]["band"]) == (None, "unknown")
    sampler.forget(decision.position.address)
    await sampler.flush()
    found = await rows(database_url, "SELECT position_pubkey FROM positions")
    assert [row["position_pubkey"] for row in found] == [str(other.position.address)]


async def test_position_samples_are_dropped_while_the_database_is_away(records, database_url):
    database = await open_pool(database_url)
    sampler = PositionSampler(database, records.identity, SystemClock())
    decision = records.decision()
    await database.close()
    sampler.offer([PositionSample(decision.position, None, None, Band.UNKNOWN, 1)])
    await sampler.flush()
    assert sampler.dropped == 1
