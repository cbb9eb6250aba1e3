"""Every SQL statement of the operational guide, as an operator types it, gives the right number."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from solders.pubkey import Pubkey

from engine.clock import SystemClock
from engine.domain import OutcomeClass
from engine.journal import FailedLiquidation, FundTransaction, FundTransactionKind, Journal
from engine.store.outbox import OutboxShipper
from engine.store.pool import open_pool

LATENCY = """
  SELECT 
    AVG(EXTRACT(EPOCH FROM (timestamp - created_at))) as avg_latency_seconds
  FROM liquidations
  WHERE created_at > NOW() - INTERVAL '1 hour';
"""  # noqa: W291 - the guide has the blank at the end of the line

SUCCESS_RATE = """
  SELECT 
    COUNT(*) as total_attempts,
    COUNT(*) FILTER (WHERE error_message IS NULL) as successful,
    ROUND(100.0 * COUNT(*) FILTER (WHERE error_message IS NULL) / COUNT(*), 2) as success_rate_pct
  FROM liquidations
  WHERE created_at > NOW() - INTERVAL '24 hours';
"""  # noqa: W291

FAILED = """SELECT 
  position_pubkey,
  error_message,
  retry_count,
  timestamp
FROM failed_liquidations
WHERE timestamp > NOW() - INTERVAL '1 hour'
ORDER BY timestamp DESC;
"""  # noqa: W291

UTILIZATION = """SELECT 
  SUM(bad_debt) as total_bad_debt,
  (SELECT SUM(amount) FROM insurance_fund_transactions WHERE transaction_type = 'contribution') as total_contributions,
  ROUND(100.0 * SUM(bad_debt) / (SELECT SUM(amount) FROM insurance_fund_transactions WHERE transaction_type = 'contribution'), 2) as utilization_pct
FROM liquidations;
"""  # noqa: E501, W291

BAD_DEBT = """SELECT 
  SUM(bad_debt) as total_bad_debt,
  COUNT(*) as affected_liquidations
FROM liquidations
WHERE bad_debt > 0 AND timestamp > NOW() - INTERVAL '24 hours';
"""  # noqa: W291

SLOW_QUERIES = """SELECT query, mean_exec_time, calls
FROM pg_stat_statements
ORDER BY mean_exec_time DESC
LIMIT 10;
"""

INDEXES = """CREATE INDEX idx_liquidations_timestamp ON liquidations(timestamp DESC);
CREATE INDEX idx_positions_health ON positions(health_factor);
"""

SOL = 10**9
HOUR_NS = 3600 * 10**9


@pytest.fixture
async def filled(tmp_path: Path, records, database_url) -> str:
    """Three landed liquidations (0.4 s, 0.6 s, and an old one), two failures, bad debt, contributions."""
    now_ns = time.time_ns()
    journal = Journal.open(tmp_path / "journal.db", records.identity)
    database = await open_pool(database_url)

    async def liquidation(age_ns: int, latency_ms: int, bad_debt: int, covered: int) -> None:
        detected_ns = now_ns - age_ns
        intent = records.intent(detected_at_ns=detected_ns, created_at_ns=detected_ns + 10**6)
        await journal.record_intent(intent)
        await journal.record_outcome(
            records.success(
                intent,
                bad_debt_lamports=bad_debt,
                covered_lamports=covered,
                confirmed_at_ns=detected_ns + latency_ms * 10**6,
            )
        )

    await liquidation(60 * 10**9, 400, 5 * SOL, 3 * SOL)
    await liquidation(120 * 10**9, 600, 2**63, 2 * SOL)
    await liquidation(30 * HOUR_NS, 9_000, 1 * SOL, 1 * SOL)
    failing = records.intent(detected_at_ns=now_ns - 3 * HOUR_NS, created_at_ns=now_ns - 3 * HOUR_NS)
    await journal.record_intent(failing)
    await journal.record_outcome(records.expiry(failing))
    for number, age_ns in enumerate((60 * 10**9, 30 * 10**9, 2 * HOUR_NS)):
        await journal.record_failed(
            FailedLiquidation(
                f"failed-{number}",
                Pubkey.new_unique(),
                Pubkey.new_unique(),
                "SOL/USD",
                OutcomeClass.TIMEOUT,
                f"timeout {number}",
                attempts=5,
                first_at_ns=now_ns - age_ns - 10**9,
                last_at_ns=now_ns - age_ns,
            )
        )
    for kind, amount in (("contribution", 20 * SOL), ("contribution", 4 * SOL), ("coverage", 6 * SOL)):
        await journal.record_fund_transaction(
            FundTransaction(
                records.signature(), FundTransactionKind(kind), amount, Pubkey.new_unique(), 5, now_ns
            )
        )
    assert await OutboxShipper(journal, database, SystemClock()).drain(10)
    await database.close()
    await journal.close()
    return database_url


async def answers(dsn: str, statement: str) -> list[tuple]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_the_latency_is_the_mean_from_detection_to_confirmation_in_the_last_hour(filled):
    ((seconds,),) = await answers(filled, LATENCY)
    assert seconds == Decimal("0.5")


async def test_the_success_rate_counts_every_attempt_of_the_last_day(filled):
    assert await answers(filled, SUCCESS_RATE) == [(3, 2, Decimal("66.67"))]


async def test_the_stuck_liquidations_of_the_last_hour_come_newest_first(filled):
    found = await answers(filled, FAILED)
    assert [(message, retries) for _, message, retries, _ in found] == [("timeout 1", 4), ("timeout 0", 4)]


async def test_the_utilization_is_covered_bad_debt_over_contributions_as_on_chain(filled):
    assert await answers(filled, UTILIZATION) == [(6 * SOL, 24 * SOL, Decimal("25.00"))]


async def test_the_emergency_figure_is_the_bad_debt_that_the_fund_paid_in_the_last_day(filled):
    assert await answers(filled, BAD_DEBT) == [(5 * SOL, 2)]


async def test_the_slow_statements_are_the_engines_own_with_their_mean_times(filled):
    found = await answers(filled, SLOW_QUERIES)
    assert found == sorted(found, key=lambda row: -row[1])
    calls = {query: calls for query, _, calls in found}
    (inserting,) = [query for query in calls if query.startswith("INSERT INTO liquidations")]
    assert calls[inserting] == 4
    assert all(mean > 0 for _, mean, _ in found)


async def test_the_guides_indexes_can_be_added(filled):
    connection = await asyncpg.connect(filled)
    await connection.execute(INDEXES)
    names = {row[0] for row in await connection.fetch("SELECT indexname FROM pg_indexes")}
    assert {"idx_liquidations_timestamp", "idx_positions_health"} <= names
    await connection.close()


@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql of the package postgresql-client")
@pytest.mark.parametrize("statement", [LATENCY, SUCCESS_RATE, "VACUUM ANALYZE;"])
async def test_psql_answers_the_guides_commands(filled, postgres, statement):
    done = await asyncio.create_subprocess_exec(
        "psql",
        "-d",
        urlsplit(filled).path[1:],
        "-c",
        statement,
        env=os.environ | {"PGHOST": postgres.sockets, "PGUSER": postgres.role},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaints = await done.communicate()
    assert (done.returncode, complaints) == (0, b"")
