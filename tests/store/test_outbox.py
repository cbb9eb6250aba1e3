"""Shipping: in order, every record exactly once, whatever happens to the database on the way."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import structlog
from arrived import rows
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.clock import SystemClock
from engine.domain import OutcomeClass
from engine.journal import (
    ControlRecord,
    FailedAttempt,
    FailedLiquidation,
    FailedStatus,
    FundTransaction,
    FundTransactionKind,
    Journal,
    work,
)
from engine.liquidation.outcomes import never_sent_outcome
from engine.store import embedded, outbox
from engine.store.migrate import migrate
from engine.store.outbox import OutboxShipper
from engine.store.pool import open_pool
from engine.store.rows import moment


@asynccontextmanager
async def running(shipper: OutboxShipper) -> AsyncIterator[None]:
    task = asyncio.create_task(shipper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def one_of_each(journal: Journal, records) -> None:
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(records.success(intent))
    await journal.record_control(ControlRecord(1, "root", "stop", "drill", accepted=True))
    await journal.record_fund_transaction(
        FundTransaction(intent.signature, FundTransactionKind.COVERAGE, 7, intent.position, 5, 6)
    )
    await journal.record_failed(
        FailedLiquidation(
            intent.liquidation_id,
            intent.position,
            intent.owner,
            "SOL/USD",
            OutcomeClass.TIMEOUT,
            "timeout",
            attempts=5,
            first_at_ns=1,
            last_at_ns=2_000,
        )
    )


async def test_a_liquidation_arrives_with_every_figure_exact(journal, records, shipper, database_url):
    largest = 2**64 - 1
    intent = records.intent(amount_e6=largest, last_valid_block_height=largest)
    outcome = records.success(
        intent,
        liquidated_size_e6=largest,
        reward_lamports=largest,
        bad_debt_lamports=largest,
        covered_lamports=largest - 1,
        slot=largest,
        confirmed_at_ns=1_750_000_000_999_999_999,
    )
    await journal.record_intent(intent)
    await journal.record_outcome(outcome)
    assert await shipper.drain(10)
    (row,) = await rows(database_url, "SELECT * FROM liquidations")
    _, wallet, _ = records.identity.split("/")
    assert row["signature"] == str(intent.signature)
    assert (row["position_pubkey"], row["liquidator"]) == (str(intent.position), wallet)
    assert row["liquidated_size"] == row["reward"] == row["slot"] == Decimal(largest)
    assert (row["bad_debt"], row["uncovered_bad_debt"]) == (Decimal(largest - 1), Decimal(1))
    assert (row["error_message"], row["outcome"], row["landed"]) == (None, "confirmed", True)
    assert row["timestamp"] == datetime(2025, 6, 15, 15, 6, 40, 999_999, tzinfo=UTC)
    assert row["created_at"] == moment(intent.detected_at_ns)
    (row,) = await rows(database_url, "SELECT *, decision->'price'->>'verdict' AS verdict FROM intents")
    assert (row["status"], row["landed"], row["verdict"]) == ("confirmed", True, "ok")
    assert (row["amount"], row["raw_transaction"]) == (Decimal(largest), intent.raw_transaction)


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_a_time_is_kept_to_the_microsecond_without_floats(at_ns):
    assert (moment(at_ns) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == at_ns // 1000


async def test_an_outcome_without_a_confirmation_is_dated_when_it_became_known(
    tmp_path, records, database, database_url
):
    journal = Journal.open(tmp_path / "journal.db", records.identity, now_ns=lambda: 1_750_000_100 * 10**9)
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(records.expiry(intent))
    assert await OutboxShipper(journal, database, SystemClock()).drain(10)
    (row,) = await rows(database_url, "SELECT * FROM liquidations")
    assert row["timestamp"] == datetime.fromtimestamp(1_750_000_100, UTC)
    assert row["error_message"] == "blockhash expired"
    await journal.close()


async def test_what_was_withdrawn_before_it_left_is_a_closed_intent_and_no_liquidation(
    journal, records, shipper, database_url
):
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(never_sent_outcome(intent, "the account changed"))
    assert await shipper.drain(10)
    [closed] = await rows(database_url, "SELECT status, landed, ended_at FROM intents")
    assert (closed["status"], closed["landed"]) == ("never sent", False)
    assert closed["ended_at"] is not None
    assert await rows(database_url, "SELECT * FROM liquidations") == []


async def test_shipping_the_same_records_again_changes_nothing(journal, records, shipper, database_url):
    await one_of_each(journal, records)
    assert await shipper.drain(10)
    tables = [
        "intents",
        "liquidations",
        "control_actions",
        "insurance_fund_transactions",
        "failed_liquidations",
    ]
    before = [await rows(database_url, f"SELECT * FROM {table}") for table in tables]
    assert [len(found) for found in before] == [1] * 5
    await journal.rewind(0)
    assert journal.backlog() == 5
    assert await shipper.drain(10)
    assert [await rows(database_url, f"SELECT * FROM {table}") for table in tables] == before
    assert shipper.refused == 0


async def test_who_was_first_and_each_attempt_of_a_failure_arrive_as_they_were(
    journal, records, shipper, database_url
):
    rival, intent = Pubkey.new_unique(), records.intent()
    await journal.record_intent(intent)
    lost = records.success(
        intent,
        outcome=OutcomeClass.ALREADY_LIQUIDATED,
        error_message="already liquidated",
        liquidated_by=rival,
    )
    await journal.record_outcome(lost)
    history = (
        FailedAttempt(1, 10, OutcomeClass.TIMEOUT, "no answer \0 from \ud800", None),
        FailedAttempt(2, 20, OutcomeClass.PROGRAM_ERROR, "Overflow (6006)", intent.signature),
    )
    failed = FailedLiquidation(
        "id", intent.position, intent.owner, "SOL/USD", OutcomeClass.PROGRAM_ERROR, "Overflow (6006)",
        attempts=2, first_at_ns=1, last_at_ns=2_000, history=history,
    )  # fmt: skip
    await journal.record_failed(failed)
    assert journal.failed() == [failed]
    assert await shipper.drain(10)
    assert shipper.refused == 0
    (row,) = await rows(database_url, "SELECT liquidated_by FROM liquidations")
    assert row["liquidated_by"] == str(rival)
    (row,) = await rows(database_url, "SELECT history FROM failed_liquidations")
    first, second = json.loads(row["history"])
    assert (first["message"], first["signature"]) == ("no answer \ufffd from ?", None)
    assert (second["attempt"], second["outcome"]) == (2, "program error")
    assert second["signature"] == str(intent.signature)
    ((_, kept),) = journal.attempts_of(intent.position, 1)
    assert kept.liquidated_by == rival


async def test_finality_and_the_state_of_a_failed_liquidation_follow(journal, records, shipper, database_url):
    intent = records.intent()
    await journal.record_intent(intent)
    final = records.success(intent)
    await journal.record_outcome(replace(final, finalized_at_ns=None))
    await one_of_each(journal, records)
    (failed,) = journal.failed()
    assert await shipper.drain(10)
    await journal.record_outcome(final)
    await journal.record_failed(replace(failed, status=FailedStatus.RESOLVED, attempts=7))
    assert await shipper.drain(10)
    query = f"SELECT finalized_at FROM liquidations WHERE signature = '{intent.signature}'"
    assert (await rows(database_url, query))[0]["finalized_at"] == moment(final.finalized_at_ns)
    (row,) = await rows(database_url, "SELECT * FROM failed_liquidations")
    assert (row["status"], row["retry_count"]) == ("resolved", 6)


async def test_killed_connections_cost_nothing_but_a_moment(
    journal, records, shipper, database_url, eventually, monkeypatch
):
    monkeypatch.setattr(outbox, "BATCH_ROWS", 5)
    killer = await asyncpg.connect(database_url)
    async with running(shipper):
        for _ in range(10):
            for _ in range(10):
                await one_of_each(journal, records)
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await eventually(lambda: journal.backlog() == 0)
        await eventually(lambda: shipper.state == outbox.OK)
    counts = await killer.fetchrow(
        "SELECT (SELECT count(*) FROM intents), (SELECT count(*) FROM liquidations),"
        " (SELECT count(*) FROM insurance_fund_transactions), (SELECT count(*) FROM control_actions),"
        " (SELECT count(*) FROM failed_liquidations)"
    )
    assert tuple(counts) == (100,) * 5
    assert shipper.refused == 0
    await killer.close()


async def test_every_row_arrives_once_across_restarts_of_the_server(
    data, journal, records, eventually, monkeypatch
):
    """The server is really stopped and started; the shipper only ever sees its socket come and go."""
    monkeypatch.setattr(outbox, "BATCH_ROWS", 7)
    monkeypatch.setattr(outbox, "MAX_BACKOFF_S", 0.2)
    async with embedded.embedded_postgres(data) as dsn:
        await migrate(dsn)
        database = await open_pool(dsn)
        shipper = OutboxShipper(journal, database, SystemClock())
        task = asyncio.create_task(shipper.run())
        for _ in range(50):
            await one_of_each(journal, records)
    await eventually(lambda: shipper.state == outbox.AWAY)
    assert shipper.message
    for _ in range(50):
        await one_of_each(journal, records)
    assert shipper.backlog >= 250
    async with embedded.embedded_postgres(data) as dsn:
        await eventually(lambda: shipper.backlog == 0 and shipper.state == outbox.OK)
        assert shipper.message == ""
        found = await rows(dsn, "SELECT count(*), count(DISTINCT signature) FROM liquidations")
        assert tuple(found[0]) == (100, 100)
        assert (await rows(dsn, "SELECT count(*) FROM control_actions"))[0][0] == 100
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await database.close()


async def test_a_lost_answer_to_a_commit_does_not_make_a_row_twice(
    journal, records, shipper, database_url, monkeypatch
):
    """The commit succeeded, but the shipper never learned of it: it fails before it marks the rows."""
    await one_of_each(journal, records)

    async def lost(seq: int) -> None:
        raise ConnectionResetError("the answer was lost")

    with monkeypatch.context() as broken:
        broken.setattr(journal, "mark_shipped", lost)
        assert not await shipper.drain(0.3)
    assert (await rows(database_url, "SELECT count(*) FROM liquidations"))[0][0] == 1
    assert journal.backlog() == 5
    assert await shipper.drain(10)
    assert (await rows(database_url, "SELECT count(*) FROM control_actions"))[0][0] == 1


async def test_an_outage_and_its_end_are_told_once_with_what_waits(
    journal, records, shipper, database_url, monkeypatch
):
    await one_of_each(journal, records)
    with structlog.testing.capture_logs() as logged, monkeypatch.context() as broken:

        async def refuse(_):
            raise ConnectionRefusedError

        broken.setattr(shipper, "_write", refuse)
        assert not await shipper.drain(0.5)
    assert [(line["event"], line["rows_to_ship"]) for line in logged] == [("the database is away", 5)]
    with structlog.testing.capture_logs() as logged:
        assert await shipper.drain(10)
    assert [line["event"] for line in logged] == ["the database is back"]


async def test_rows_that_nobody_has_any_more_are_counted_and_told(
    journal, records, shipper, database_url, monkeypatch
):
    monkeypatch.setattr(work, "KEEP_SHIPPED", 4)
    for _ in range(4):
        await one_of_each(journal, records)
    assert await shipper.drain(10)
    await rows(database_url, "TRUNCATE intents, liquidations, journal_progress")
    restarted = OutboxShipper(journal, shipper._database, SystemClock())
    await restarted._try()
    assert journal.backlog() == 0
    assert restarted.missing == 16


async def test_a_database_that_lost_its_newest_rows_gets_them_again(
    journal, records, shipper, database_url, eventually
):
    for _ in range(3):
        await one_of_each(journal, records)
    assert await shipper.drain(10)
    for table in ("liquidations", "intents", "journal_progress"):
        await rows(database_url, f"DELETE FROM {table}")
    restarted = OutboxShipper(journal, shipper._database, SystemClock())
    async with running(restarted):
        await eventually(lambda: has_liquidations(database_url, 3))


async def test_records_of_a_journal_that_was_put_back_to_an_earlier_day_arrive_all_the_same(
    journal, records, database, database_url, tmp_path
):
    async def command(into: Journal, at_ns: int) -> None:
        await into.record_control(ControlRecord(at_ns * 10**9, "root", "stop", "drill", accepted=True))

    await command(journal, 1)
    await journal.close()
    earlier = tmp_path / "earlier" / "journal.db"
    earlier.parent.mkdir()
    shutil.copy(tmp_path / "journal.db", earlier)
    later = Journal.open(tmp_path / "journal.db", records.identity)
    for at_s in (2, 3, 4):
        await command(later, at_s)
    assert await OutboxShipper(later, database, SystemClock()).drain(20)
    await later.close()
    put_back = Journal.open(earlier, records.identity)
    shipper = OutboxShipper(put_back, database, SystemClock())
    for at_s in (12, 13):
        await command(put_back, at_s)
    assert await shipper.drain(20)
    await put_back.close()
    found = await rows(database_url, "SELECT at FROM control_actions ORDER BY at")
    assert [row["at"].timestamp() for row in found] == [1, 2, 3, 4, 12, 13]


async def has_liquidations(dsn: str, wanted: int) -> bool:
    return (await rows(dsn, "SELECT count(*) FROM liquidations"))[0][0] == wanted


async def test_a_record_that_the_schema_refuses_is_kept_aside_and_holds_up_nobody(
    journal, records, shipper, database_url
):
    good, bad = records.intent(), records.intent(decision_json='{"reason": "\\u0000"}')
    for intent in (bad, good):
        await journal.record_intent(intent)
    await journal.record_outcome(records.success(good))
    assert await shipper.drain(10)
    assert shipper.refused == 1
    (kept,) = await rows(database_url, "SELECT * FROM refused_records")
    assert (kept["kind"], str(bad.signature) in kept["payload"].decode()) == ("intent", True)
    (row,) = await rows(database_url, "SELECT signature, status FROM intents")
    assert (row["signature"], row["status"]) == (str(good.signature), "confirmed")


async def test_a_time_that_no_calendar_has_is_kept_aside_like_any_other_that_cannot_be_stored(
    journal, records, shipper, database_url
):
    intent = records.intent()
    for at_s in (2**62, 1_750_000_000, -(2**62)):  # what an event says is what its chain's clock said
        await journal.record_fund_transaction(
            FundTransaction(
                records.intent().signature,
                FundTransactionKind.CONTRIBUTION,
                7,
                intent.owner,
                5,
                at_s * 10**9,
            )
        )
    assert await shipper.drain(10)
    assert shipper.refused == 2
    kept = await rows(database_url, "SELECT kind FROM refused_records")
    assert {each["kind"] for each in kept} == {"fund"}
    (row,) = await rows(database_url, "SELECT * FROM insurance_fund_transactions")
    assert row["amount"] == 7


async def test_hostile_text_is_stored_without_what_postgresql_cannot_hold(
    journal, records, shipper, database_url
):
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(
        records.expiry(intent, error_message="node says \0 and \ud800 and " + "x" * 10_000)
    )
    assert await shipper.drain(10)
    (row,) = await rows(database_url, "SELECT error_message FROM liquidations")
    assert row["error_message"].startswith("node says � and ? and xxx")
    assert len(row["error_message"]) == 2_000


async def test_the_password_is_in_no_message_of_an_outage(journal, records, database_url):
    database = await open_pool(database_url + "&password=hunter2")
    shipper = OutboxShipper(journal, database, SystemClock())
    await journal.record_control(ControlRecord(1, "root", "stop", "", accepted=True))
    await rows(database_url, "ALTER TABLE journal_progress RENAME TO hunter2")
    assert not await shipper.drain(0.2)
    assert shipper.state == outbox.AWAY
    assert "hunter2" not in shipper.message
    await database.close()


async def test_an_end_with_nothing_to_ship_does_not_mind_that_the_database_is_away(
    journal, shipper, eventually
):
    async with running(shipper):
        await journal.record_control(ControlRecord(1, "root", "stop", "", accepted=True))
        await eventually(lambda: journal.backlog() == 0)
    await shipper._database.close()
    assert await shipper.drain(1.0)
