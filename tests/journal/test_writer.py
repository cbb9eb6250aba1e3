"""The writer's groups: one job's failure is its own, a failure of the disk is everybody's and passes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from engine.journal import JournalUnavailable, schema
from engine.journal.writer import Writer


@pytest.fixture
async def writer(tmp_path: Path):
    path = tmp_path / "journal.db"
    schema.create(path, "identity", "id")
    writer = Writer(path, 5.0)
    yield writer
    await writer.close()


def put(key: str):
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES (?, '')", (key,))

    return work


def put_and_fail(connection: sqlite3.Connection) -> None:
    put("half")(connection)
    raise ValueError("after its first write")


def put_and_break(connection: sqlite3.Connection) -> None:
    put("half")(connection)
    connection.execute("SELECT * FROM no_such_table")


def keys(connection: sqlite3.Connection) -> set[str]:
    return {key for (key,) in connection.execute("SELECT key FROM meta")}


async def test_a_job_that_fails_after_a_write_leaves_nothing_and_its_neighbours_stay(writer):
    answers = await asyncio.gather(
        writer.run(put("before")),
        writer.run(put_and_fail),
        writer.run(put("after")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), ValueError, type(None)]
    found = await writer.run(keys)
    assert {"before", "after"} <= found
    assert "half" not in found


async def test_a_failure_of_sqlite_fails_the_whole_group_and_the_next_one_works(writer):
    answers = await asyncio.gather(
        *(writer.run(work) for work in (put("a"), put_and_break, put("b"))), return_exceptions=True
    )
    assert any(isinstance(answer, JournalUnavailable) for answer in answers)
    await writer.run(put("c"))
    found = await writer.run(keys)
    assert "c" in found
    assert "half" not in found
    for key, answer in zip(("a", "b"), (answers[0], answers[2]), strict=True):
        assert (key in found) == (answer is None)


async def test_what_follows_a_commit_is_told_in_order_even_when_nobody_waits(writer):
    told: list[int] = []
    callers = [asyncio.create_task(writer.run(lambda _, n=number: n, told.append)) for number in range(5)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await writer.run(keys)
    assert told == [0, 1, 2, 3, 4]
