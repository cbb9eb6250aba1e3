"""The journal's promises: durable when it returns, one open intent per position, every end exactly once."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

import engine.journal.journal as journal_module
from engine.domain import Action, OutcomeClass
from engine.journal import (
    ControlRecord,
    FailedLiquidation,
    FailedStatus,
    FundTransaction,
    FundTransactionKind,
    IntentAlreadyOpen,
    Journal,
    JournalForeign,
    JournalUnavailable,
    OutboxKind,
    UnknownIntent,
    work,
)

U64 = st.integers(0, 2**64 - 1)
DAY_NS = 86_400 * 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book" / "journal.db"


@pytest.fixture
async def journal(path, records):
    journal = Journal.open(path, records.identity)
    yield journal
    await journal.close()


async def reopened(journal: Journal) -> Journal:
    await journal.close()
    return Journal.open(journal.path, journal.identity)


async def test_an_open_intent_comes_back_after_a_restart_exactly_as_it_was(journal, records):
    intent = records.intent(action=Action.PARTIAL, attempt=3)
    await journal.record_intent(intent)
    await journal.record_submitted(intent.signature, 77)
    again = await reopened(journal)
    assert again.open_intents() == [intent]
    assert again.submitted_at_ns(intent.signature) == 77
    await again.close()


async def test_a_second_intent_for_a_position_is_refused_until_the_first_has_ended(journal, records):
    first = records.intent()
    second = records.intent(position=first.position)
    await journal.record_intent(first)
    with pytest.raises(IntentAlreadyOpen):
        await journal.record_intent(second)
    assert journal.open_intents() == [first]
    assert journal.backlog() == 1
    await journal.record_outcome(records.expiry(first))
    await journal.record_intent(second)
    assert journal.open_intents() == [second]


async def test_a_refused_intent_does_not_take_its_neighbours_of_the_same_commit_with_it(journal, records):
    taken = records.intent()
    await journal.record_intent(taken)
    burst = [records.intent() for _ in range(20)]
    burst.insert(10, records.intent(position=taken.position))
    answers = await asyncio.gather(*map(journal.record_intent, burst), return_exceptions=True)
    assert [type(each) for each in answers if each is not None] == [IntentAlreadyOpen]
    assert len(journal.open_intents()) == 21
    again = await reopened(journal)
    assert len(again.open_intents()) == 21
    assert len(again.outbox(100)) == 21
    await again.close()


async def test_a_burst_of_intents_shares_a_few_commits(journal, records):
    statements: list[str] = []
    journal._writer._connection.set_trace_callback(statements.append)
    await asyncio.gather(*(journal.record_intent(records.intent()) for _ in range(200)))
    commits = sum(statement == "COMMIT" for statement in statements)
    assert 1 <= commits <= 10


async def test_every_commit_waits_for_the_disk(journal):
    connection = journal._writer._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert journal.path.stat().st_mode & 0o077 == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[U64] * 9), st.text(max_size=40))
def test_every_u64_and_every_text_survives_exactly(tmp_path_factory, records, numbers, text):
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    amount, height, fee, size, price, reward, debt, units, slot = numbers

    async def write() -> tuple:
        journal = Journal.open(path, records.identity)
        intent = records.intent(
            amount_e6=amount, last_valid_block_height=height, priority_fee_microlamports=fee, symbol=text
        )
        outcome = records.success(
            intent,
            fee_lamports=fee,
            liquidated_size_e6=size,
            liquidation_price_e6=price,
            reward_lamports=reward,
            bad_debt_lamports=debt,
            covered_lamports=debt // 2,
            compute_units=units,
            slot=slot,
        )
        await journal.record_intent(intent)
        await journal.record_outcome(outcome)
        await journal.close()
        return intent, outcome

    intent, outcome = asyncio.run(write())
    again = Journal.open(path, records.identity)
    assert again.attempts_of(intent.position, 5) == [(intent, outcome)]
    assert again.totals()["bad_debt_covered_lamports"] == debt // 2
    assert again.totals()["bad_debt_uncovered_lamports"] == debt - debt // 2
    payload = again.outbox(10)[1].payload
    assert (payload["bad_debt_lamports"], payload["slot"]) == (debt, slot)
    asyncio.run(again.close())


async def test_sums_beyond_64_bits_stay_exact(journal, records):
    for _ in range(3):
        intent = records.intent()
        await journal.record_intent(intent)
        await journal.record_outcome(records.success(intent, reward_lamports=2**64 - 1))
    assert journal.totals()["rewards_lamports"] == 3 * (2**64 - 1)
    again = await reopened(journal)
    assert again.totals()["rewards_lamports"] == 3 * (2**64 - 1)
    await again.close()


async def test_an_outcome_counts_once_however_often_it_is_recorded(journal, records):
    intent = records.intent()
    await journal.record_intent(intent)
    outcome = records.success(intent)
    answers = await asyncio.gather(*(journal.record_outcome(outcome) for _ in range(5)))
    assert sorted(answers) == [False, False, False, False, True]
    assert not await journal.record_outcome(records.expiry(intent))
    assert journal.attempts_of(intent.position, 1) == [(intent, outcome)]
    totals = journal.totals()
    assert (totals["attempts"], totals["full"], totals["fees_lamports"]) == (1, 1, 5_010)
    assert [row.kind for row in journal.outbox(10)] == [OutboxKind.INTENT, OutboxKind.OUTCOME]


async def test_finality_that_comes_later_is_added_and_shipped_without_counting_again(journal, records):
    intent = records.intent()
    await journal.record_intent(intent)
    final = records.success(intent)
    assert await journal.record_outcome(replace(final, finalized_at_ns=None))
    assert not await journal.record_outcome(final)
    assert journal.attempts_of(intent.position, 1) == [(intent, final)]
    assert journal.totals()["attempts"] == 1
    assert journal.outbox(10)[-1].payload["finalized_at_ns"] == final.finalized_at_ns


async def test_the_first_submission_time_stays_and_completes_the_outcome(journal, records):
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_submitted(intent.signature, 100)
    await journal.record_submitted(intent.signature, 200)
    await journal.record_outcome(records.expiry(intent, submitted_at_ns=None))
    ((_, outcome),) = journal.attempts_of(intent.position, 1)
    assert outcome.submitted_at_ns == 100


async def test_nothing_can_be_recorded_about_an_unknown_signature(journal, records):
    stranger = records.intent()
    with pytest.raises(UnknownIntent):
        await journal.record_outcome(records.success(stranger))
    with pytest.raises(UnknownIntent):
        await journal.record_submitted(stranger.signature, 1)
    assert journal.backlog() == 0


async def test_the_attempts_of_a_position_come_newest_first(journal, records):
    position = Pubkey.new_unique()
    attempts = []
    for number in range(4):
        intent = records.intent(position=position, attempt=number)
        await journal.record_intent(intent)
        if number < 3:
            await journal.record_outcome(records.expiry(intent))
        attempts.append(intent)
    found = journal.attempts_of(position, 3)
    assert [intent for intent, _ in found] == attempts[:0:-1]
    assert found[0][1] is None
    assert found[1][1].outcome is OutcomeClass.BLOCKHASH_EXPIRED


async def test_fees_are_summed_by_the_utc_day_on_which_outcomes_became_known(path, records):
    now = [20_000 * DAY_NS + 5]
    journal = Journal.open(path, records.identity, now_ns=lambda: now[0])
    for at_ns in (now[0], now[0], now[0] + DAY_NS):
        now[0] = at_ns
        intent = records.intent()
        await journal.record_intent(intent)
        await journal.record_outcome(records.success(intent))
    for reading in (journal, await reopened(journal)):
        assert reading.fees_of_day(20_000 * DAY_NS) == 10_020
        assert reading.fees_of_day(20_001 * DAY_NS) == 5_010
        assert reading.fees_of_day(20_002 * DAY_NS) == 0
    await reading.close()


def failure(records, **changes) -> FailedLiquidation:
    failed = FailedLiquidation(
        liquidation_id="l1",
        position=Pubkey.new_unique(),
        owner=Pubkey.new_unique(),
        symbol="BTC/USD",
        outcome=OutcomeClass.TIMEOUT,
        error_message="timeout",
        attempts=5,
        first_at_ns=1,
        last_at_ns=2,
    )
    return replace(failed, **changes)


async def test_a_failed_liquidation_stays_until_it_is_dismissed_or_resolved(journal, records):
    first, second = failure(records), failure(records, liquidation_id="l2", last_at_ns=3)
    await journal.record_failed(second)
    await journal.record_failed(first)
    await journal.record_failed(replace(first, status=FailedStatus.RETRYING, attempts=6))
    again = await reopened(journal)
    assert [(each.liquidation_id, each.attempts) for each in again.failed()] == [("l1", 6), ("l2", 5)]
    await again.record_failed(replace(first, status=FailedStatus.RESOLVED))
    await again.record_failed(replace(second, status=FailedStatus.DISMISSED))
    assert again.failed() == []
    last = await reopened(again)
    assert last.failed() == []
    await last.close()


async def test_a_fund_transaction_is_kept_once_per_signature_kind_and_event(journal, records):
    movement = FundTransaction(
        records.signature(), FundTransactionKind.CONTRIBUTION, 10**9, Pubkey.new_unique(), 5, 6
    )
    assert await journal.record_fund_transaction(movement)
    assert not await journal.record_fund_transaction(replace(movement, at_ns=7))
    assert await journal.record_fund_transaction(replace(movement, event_index=1))
    assert await journal.record_fund_transaction(replace(movement, kind=FundTransactionKind.COVERAGE))
    assert journal.totals()["fund_contributions_lamports"] == 2 * 10**9
    assert journal.backlog() == 3


async def test_control_actions_are_numbered_in_the_outbox_in_their_order(journal):
    for number in range(3):
        await journal.record_control(ControlRecord(number, "root", "stop", "drill", accepted=True))
    rows = journal.outbox(10)
    assert [row.payload["at_ns"] for row in rows] == [0, 1, 2]
    assert [row.seq for row in rows] == [1, 2, 3]


async def test_shipped_rows_leave_the_backlog_and_are_pruned_when_they_are_old(journal, records, monkeypatch):
    monkeypatch.setattr(work, "KEEP_SHIPPED", 4)
    monkeypatch.setattr(work, "KEEP_CLOSED", 3)
    for _ in range(10):
        intent = records.intent()
        await journal.record_intent(intent)
        await journal.record_outcome(records.expiry(intent))
    still_open = records.intent()
    await journal.record_intent(still_open)
    assert journal.backlog() == 21
    await journal.mark_shipped(20)
    assert journal.backlog() == 1
    assert [row.seq for row in journal.outbox(10)] == [21]
    again = await reopened(journal)
    assert again.backlog() == 1
    await again.rewind(0)
    assert [row.seq for row in again.outbox(100)] == [17, 18, 19, 20, 21]
    with sqlite3.connect(again.path) as look:
        assert look.execute("SELECT count(*) FROM intents").fetchone() == (3,)
    assert again.open_intents() == [still_open]
    await again.close()


async def test_outbox_numbers_never_repeat_even_when_everything_was_pruned(journal, monkeypatch):
    monkeypatch.setattr(work, "KEEP_SHIPPED", 0)
    record = ControlRecord(1, "root", "stop", "", accepted=True)
    await journal.record_control(record)
    await journal.mark_shipped(1)
    again = await reopened(journal)
    await again.record_control(record)
    assert [row.seq for row in again.outbox(10)] == [2]
    await again.close()


async def test_no_intent_is_taken_when_the_backlog_is_full_but_ends_still_are(journal, records, monkeypatch):
    intent = records.intent()
    await journal.record_intent(intent)
    monkeypatch.setattr(journal_module, "MAX_BACKLOG", 1)
    with pytest.raises(JournalUnavailable, match="bring the database back"):
        await journal.record_intent(records.intent())
    assert await journal.record_outcome(records.success(intent))


async def test_a_stuck_disk_is_reported_in_time_and_reads_go_on(path, records, monkeypatch, eventually):
    monkeypatch.setattr(journal_module, "WRITE_DEADLINE_S", 0.2)
    journal = Journal.open(path, records.identity)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    late = records.intent()
    with pytest.raises(JournalUnavailable, match="did not answer"):
        await journal.record_intent(late)
    assert journal.attempts_of(late.position, 5) == []
    blocker.execute("ROLLBACK")
    blocker.close()
    await eventually(lambda: journal.is_idle)
    assert [intent for intent, _ in journal.attempts_of(late.position, 5)] == [late]
    await journal.close()


async def test_a_cancelled_caller_leaves_an_intent_that_is_found_open(path, records, eventually):
    journal = Journal.open(path, records.identity)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    intent = records.intent()
    caller = asyncio.ensure_future(journal.record_intent(intent))
    await asyncio.sleep(0)
    caller.cancel()
    blocker.execute("ROLLBACK")
    blocker.close()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await eventually(lambda: journal.open_intents() == [intent])
    await journal.close()


async def test_a_closed_journal_refuses(path, records):
    journal = Journal.open(path, records.identity)
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.record_intent(records.intent())


async def test_another_identity_is_refused_and_the_file_stays(journal, records):
    await journal.record_intent(records.intent())
    await journal.close()
    with pytest.raises(JournalForeign, match="belongs to another cluster, wallet or program"):
        Journal.open(journal.path, "other/wallet/program")
    again = Journal.open(journal.path, records.identity)
    assert len(again.open_intents()) == 1
    await again.close()
