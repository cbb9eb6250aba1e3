"""A database that answers what makes no sense is told as one that is away, and its history follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from arrived import rows, tuples

from engine.clock import SystemClock
from engine.journal import ControlRecord
from engine.store.outbox import AWAY, OK, OutboxShipper


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
