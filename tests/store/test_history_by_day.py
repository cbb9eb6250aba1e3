"""The history in days: nothing is lost on the way there or there twice, and what the fund paid stays."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from arrived import tuples

from engine.clock import SystemClock
from engine.journal import ControlRecord, Journal
from engine.store.migrate import migrate, packaged_migrations
from engine.store.outbox import OutboxShipper
from engine.store.retention import Retention, make_days, prune

DAY_NS = 86_400 * 10**9
SOL = 10**9

# A row every seven hours: of the days ahead and the last two months, and around the two years that are kept.
WHOLE_TABLE = """
INSERT INTO liquidations (
    signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action,
    attempt, liquidated_size, liquidation_price, reward, fee, bad_debt, uncovered_bad_debt, outcome, landed,
    compute_units, created_at, timestamp, liquidated_by
)
SELECT
    'signature ' || n, 'id', 'position', 'owner', 'wallet', 'cluster', 'program', 'SOL/USD', 'full', n % 3,
    n, 2 * n, 3, 4, n % 5, n % 7, 'confirmed', true, 18446744073709551615,
    detected, detected + interval '1 second', 'somebody'
FROM
    generate_series(-10, 300) AS n,
    LATERAL (SELECT now() - n * interval '7 hours' - (n > 200)::int * interval '660 days' AS detected) AS at
"""


async def partitions(dsn: str) -> dict[str, int]:
    """How many rows each partition holds."""
    children = "SELECT inhrelid FROM pg_inherits WHERE inhparent = 'liquidations'::regclass"
    counted = "SELECT tableoid, count(*) AS rows FROM liquidations GROUP BY tableoid"
    query = f"""
        SELECT inhrelid::regclass::text, COALESCE(rows, 0)
        FROM ({children}) AS parts LEFT JOIN ({counted}) AS held ON tableoid = inhrelid
    """
    return dict(await tuples(dsn, query))


def day_name(age_days: int) -> str:
    return f"liquidations_{(datetime.now(UTC) - timedelta(days=age_days)).strftime('%Y%m%d')}"


async def liquidate(journal: Journal, records, age_days: float, covered: int = 0) -> str:
    detected_ns = time.time_ns() - int(age_days * DAY_NS)
    intent = records.intent(detected_at_ns=detected_ns, created_at_ns=detected_ns + 10**6)
    await journal.record_intent(intent)
    await journal.record_outcome(
        records.success(intent, bad_debt_lamports=covered, covered_lamports=covered, slot=1_000_000)
    )
    return str(intent.signature)


async def test_the_way_into_days_keeps_every_row_as_it_was(empty_database):
    await migrate(empty_database, packaged_migrations()[:3])
    await tuples(empty_database, WHOLE_TABLE)
    before = await tuples(empty_database, "SELECT * FROM liquidations ORDER BY id")
    await migrate(empty_database)
    assert await tuples(empty_database, "SELECT * FROM liquidations ORDER BY id") == before
    held = await partitions(empty_database)
    assert held[day_name(1)] in (3, 4), "a row every seven hours"
    assert held["liquidations_rest"] > 0, "the oldest rows, and those that are ahead of time"
    assert max(held.values()) == held["liquidations_rest"]
    ((following,),) = await tuples(empty_database, "SELECT nextval('liquidations_id_seq')")
    assert following == before[-1][0] + 1


async def test_an_outcome_that_comes_twice_is_one_row_even_if_the_day_differs(
    tmp_path, journal, database, records
):
    intent = records.intent(detected_at_ns=time.time_ns())
    other = Journal.open(tmp_path / "other.db", records.identity)
    for each, age_ns, final_ns in ((journal, 0, None), (other, 3 * DAY_NS, time.time_ns())):
        seen = replace(intent, detected_at_ns=intent.detected_at_ns - age_ns)
        await each.record_intent(seen)
        await each.record_outcome(records.success(seen, finalized_at_ns=final_ns))
        assert await OutboxShipper(each, database, SystemClock()).drain(20)
        await make_days(database, time.time_ns(), 30)
    await other.close()
    found = await tuples(database.dsn, "SELECT signature, finalized_at IS NULL FROM liquidations")
    assert found == [(str(intent.signature), False)]


async def test_rows_that_come_before_their_day_are_moved_into_it_by_whoever_makes_it_first(
    journal, database, records
):
    signature = await liquidate(journal, records, age_days=5)
    assert await OutboxShipper(journal, database, SystemClock()).drain(20)
    assert (await partitions(database.dsn))["liquidations_rest"] == 1
    made = await asyncio.gather(*(make_days(database, time.time_ns(), 30) for _ in range(5)))
    assert sum(made) == 1
    held = await partitions(database.dsn)
    assert (held["liquidations_rest"], held[day_name(5)]) == (0, 1)
    assert await tuples(database.dsn, "SELECT signature FROM liquidations") == [(signature,)]


async def test_a_day_that_is_old_enough_goes_and_what_the_fund_paid_stays(journal, database, records):
    ages = {"young": 1, "last": 10, "old": 11.2, "paid": 11.2, "older": 40, "oldest paid": 40}
    signatures = {
        name: await liquidate(journal, records, age, covered=3 * SOL if "paid" in name else 0)
        for name, age in ages.items()
    }
    still_open = records.intent(created_at_ns=time.time_ns() - 50 * DAY_NS)
    await journal.record_intent(still_open)
    await journal.record_control(
        ControlRecord(time.time_ns() - 99 * DAY_NS, "root", "stop", "drill", accepted=True)
    )
    assert await OutboxShipper(journal, database, SystemClock()).drain(20)
    keeper = Retention(database, SystemClock(), keep_days=30)
    await keeper.tend()
    kept = {name for (name,) in await tuples(database.dsn, "SELECT signature FROM liquidations")}
    assert kept == set(signatures.values()) - {signatures["older"]}
    pruned = await prune(database, time.time_ns(), keep_days=10)
    assert pruned.days == [(datetime.now(UTC) - timedelta(days=ages["old"])).date()]
    kept = {name for (name,) in await tuples(database.dsn, "SELECT signature FROM liquidations")}
    assert kept == {signatures[name] for name in ("young", "last", "paid", "oldest paid")}
    found = await tuples(database.dsn, "SELECT signature FROM intents")
    assert {name for (name,) in found} == kept | {str(still_open.signature)}
    assert await tuples(database.dsn, "SELECT sum(bad_debt) FROM liquidations") == [(6 * SOL,)]
    assert await tuples(database.dsn, "SELECT count(*) FROM control_actions") == [(1,)]
    assert await tuples(database.dsn, "SELECT dropped, kept, last_slot FROM pruned_days") == [
        (1, 1, 1_000_000)
    ]
    assert (await prune(database, time.time_ns(), keep_days=10)).is_nothing
    await Retention(database, SystemClock(), keep_days=10).tend()
    assert (await partitions(database.dsn))["liquidations_rest"] == 2, "no day is made again for what stays"


async def test_a_question_about_the_last_day_reads_no_older_one(journal, database, records):
    for age in range(9):
        await liquidate(journal, records, age_days=age)
    assert await OutboxShipper(journal, database, SystemClock()).drain(20)
    await make_days(database, time.time_ns(), 30)
    question = "EXPLAIN ANALYZE SELECT * FROM liquidations WHERE created_at > now() - interval '24 hours'"
    plan = "\n".join(line for (line,) in await tuples(database.dsn, question))
    assert day_name(0) in plan
    assert not any(day_name(age) in plan for age in range(2, 9))


async def test_keeping_days_goes_on_after_an_outage(database, journal, records, eventually):
    await liquidate(journal, records, age_days=40)
    assert await OutboxShipper(journal, database, SystemClock()).drain(20)

    class Impatient(SystemClock):
        """Hours pass in a moment."""

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds / 3_600_000)

    await tuples(database.dsn, "ALTER FUNCTION make_liquidations_days RENAME TO away")
    keeping = asyncio.create_task(Retention(database, Impatient(), keep_days=30).run())
    await tuples(database.dsn, "ALTER FUNCTION away RENAME TO make_liquidations_days")

    async def is_pruned() -> bool:
        return await tuples(database.dsn, "SELECT count(*) FROM liquidations") == [(0,)]

    await eventually(is_pruned)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
