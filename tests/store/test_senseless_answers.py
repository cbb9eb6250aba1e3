"""A database that answers what makes no sense delays history like one that is away, and ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from arrived import rows, tuples

from engine.clock import SystemClock
from engine.domain import Band
from engine.journal import ControlRecord
from engine.store.last_day import LastDay
from engine.store.outbox import AWAY, OK, OutboxShipper
from engine.store.positions import PositionSample, PositionSampler
from engine.store.retention import Retention


class Impatient(SystemClock):
    """Hours pass in a moment."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10_000)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_progress_that_is_no_number_is_an_outage_until_it_is_one_again(
    journal, records, database, database_url, eventually
):
    await journal.record_control(ControlRecord(1, "root", "stop", "drill", accepted=True))
    assert await OutboxShipper(journal, database, SystemClock()).drain(20)
    await tuples(database_url, "ALTER TABLE journal_progress ALTER COLUMN shipped_seq TYPE text")
    await journal.record_control(ControlRecord(2, "root", "resume", "drill", accepted=True))
    shipper = OutboxShipper(journal, database, SystemClock())
    async with running(shipper.run()) as shipping:

        async def makes_no_sense() -> bool:
            return shipping.done() or "(TypeError)" in shipper.message

        await eventually(makes_no_sense)
        assert not shipping.done()
        assert shipper.state == AWAY
        await tuples(
            database_url,
            "ALTER TABLE journal_progress ALTER COLUMN shipped_seq TYPE bigint USING shipped_seq::bigint",
        )

        async def has_arrived() -> bool:
            return len(await rows(database_url, "SELECT 1 FROM control_actions")) == 2

        await eventually(has_arrived)

        async def is_ok() -> bool:
            return shipper.state == OK

        await eventually(is_ok)


async def test_totals_that_are_no_numbers_are_not_told(journal, records, shipper, database, database_url):
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(records.success(intent))
    assert await shipper.drain(20)
    await tuples(database_url, "UPDATE liquidations SET fee = 'NaN', timestamp = now()")
    told: list[object] = []
    day = LastDay(database, records.identity, SystemClock(), lambda totals, at_ns: told.append(totals))
    await day.ask()
    assert told == []
    await tuples(database_url, "UPDATE liquidations SET fee = 5000")
    await day.ask()
    assert len(told) == 1


async def test_days_are_tended_again_after_an_answer_that_was_none(database, database_url, eventually):
    await tuples(database_url, "ALTER FUNCTION make_liquidations_days RENAME TO kept")
    await tuples(
        database_url,
        "CREATE FUNCTION make_liquidations_days(today DATE, oldest DATE) RETURNS INTEGER LANGUAGE sql"
        " AS 'UPDATE journal_progress SET shipped_seq = shipped_seq + 1 RETURNING NULL::integer'",
    )
    await tuples(database_url, "INSERT INTO journal_progress VALUES ('asked', 'g/w/p', 0, now())")
    async with running(Retention(database, Impatient(), keep_days=30).run()) as keeping:

        async def was_asked_again() -> bool:
            return keeping.done() or await tuples(
                database_url, "SELECT shipped_seq >= 2 FROM journal_progress"
            ) == [(True,)]

        await eventually(was_asked_again)
        assert not keeping.done()


async def test_samples_of_a_time_that_no_calendar_has_are_dropped(records, database):
    sampler = PositionSampler(database, records.identity, SystemClock())
    sampler.offer([PositionSample(records.decision().position, None, None, Band.UNKNOWN, at_ns=2**70)])
    await sampler.flush()
    assert sampler.dropped == 1
