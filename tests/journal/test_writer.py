"""The writer's groups: one job's failure is its own, a failure of the disk is everybody's and passes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from engine.journal import JournalUnavailable, schema
from engine.journal import writer as writer_module
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


def put_much(key: str):
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES (?, zeroblob(20000))", (key,))

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


async def test_what_comes_behind_a_record_that_is_given_up_at_the_end_is_given_up_with_it(
    writer, monkeypatch
):
    monkeypatch.setattr(writer_module, "MAX_GROUP", 1)
    fails = iter([sqlite3.OperationalError("disk I/O error")])

    def kept(connection: sqlite3.Connection) -> None:
        for error in fails:
            with writer._wake:
                assert writer._wake.wait_for(lambda: writer._closing, 30)
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        put("kept")(connection)

    told: list[None] = []
    writer.keep(kept, told.append, 3600)
    behind = [writer.begin(put(name)) for name in ("behind", "later")]
    await writer.close()
    for each in behind:
        with pytest.raises(JournalUnavailable, match="disk I/O error"):
            await each
    assert told == []
    with sqlite3.connect(writer._path) as look:
        assert {"kept", "behind", "later"}.isdisjoint(keys(look))


async def test_what_follows_a_commit_is_told_in_order_even_when_nobody_waits(writer):
    told: list[int] = []
    callers = [asyncio.create_task(writer.run(lambda _, n=number: n, told.append)) for number in range(5)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await writer.run(keys)
    assert told == [0, 1, 2, 3, 4]


async def test_the_log_is_folded_into_the_file_in_a_pause_and_not_by_a_commit(writer, tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "FOLD_JOBS", 8)
    path = tmp_path / "journal.db"
    before = path.stat().st_size
    for number in range(6):
        await writer.run(put_much(f"key {number}"))
    assert path.stat().st_size == before, "nothing but the log grew"
    for number in range(6, 12):
        await writer.run(put_much(f"key {number}"))
    async with asyncio.timeout(20):
        while path.stat().st_size == before:  # noqa: ASYNC110  # nothing tells when it is done
            await asyncio.sleep(0.01)
    found = await writer.run(keys)
    assert {f"key {number}" for number in range(12)} <= found


async def test_in_a_time_without_pauses_the_log_is_folded_all_the_same(writer, tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "MOST_UNFOLDED_JOBS", 20)
    monkeypatch.setattr(writer_module, "PAUSE_S", 3600)
    before = (tmp_path / "journal.db").stat().st_size
    for number in range(30):
        await writer.run(put_much(f"key {number}"))
    assert (tmp_path / "journal.db").stat().st_size > before


async def test_what_is_begun_and_not_answered_in_time_is_given_up_and_told_when_it_came_after_all(tmp_path):
    path = tmp_path / "slow.db"
    schema.create(path, "identity", "id")
    slow = Writer(path, 0.01)
    may_go_on, told = threading.Event(), []

    def work(connection: sqlite3.Connection) -> int:
        assert may_go_on.wait(20)
        return 7

    with pytest.raises(JournalUnavailable, match="did not answer"):
        await slow.begin(work, told.append)
    may_go_on.set()
    async with asyncio.timeout(20):
        while not slow.is_idle:  # noqa: ASYNC110  # nothing tells when it is
            await asyncio.sleep(0)
    assert told == [7]
    await slow.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await slow.begin(keys)
