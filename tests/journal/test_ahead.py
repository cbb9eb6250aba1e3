"""Intents that are durable in the log first: whoever dies then has them in the journal at the next start."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from engine.errors import JournalCorrupt
from engine.journal import IntentAlreadyOpen, Journal, JournalUnavailable
from engine.journal import intake as intake_module
from engine.journal import intent_log as log_module
from engine.journal import prompt_writer as prompt_module
from engine.journal.intent_log import IntentLog, left_behind
from engine.journal.prompt_writer import PromptWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path, records):
    journal = Journal.open(path, records.identity, make_ahead=PromptWriter)
    yield journal
    await journal.close()


@pytest.fixture
def disk(monkeypatch) -> Iterator[threading.Event]:
    """The log's disk, which takes nothing until this is set."""
    write, goes_on = IntentLog.write, threading.Event()

    def slow(log: IntentLog, start: int, frame: bytes) -> None:
        assert goes_on.wait(30)
        write(log, start, frame)

    monkeypatch.setattr(IntentLog, "write", slow)
    yield goes_on
    goes_on.set()


@pytest.fixture
def never_taken_over(monkeypatch):
    """The journal takes over nothing by itself."""
    monkeypatch.setattr(intake_module, "TAKE_OVER_S", 3600)


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-intents")


def in_journal(path: Path) -> list[str]:
    with sqlite3.connect(path) as look:
        return [row[0] for row in look.execute("SELECT signature FROM intents ORDER BY number")]


def died(path: Path, folder: Path) -> Path:
    """The files as a process that dies now leaves them."""
    folder.mkdir()
    for file in path.parent.glob("journal.db*"):
        shutil.copy(file, folder / file.name)
    return folder / path.name


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


async def closed(journal: Journal) -> None:
    await until(lambda: journal.is_idle)
    await journal.close()


async def test_an_intent_is_durable_before_the_journal_has_it_and_comes_into_it_by_itself(
    journal, path, records, never_taken_over
):
    intent = records.intent()
    await journal.record_intent(intent)
    assert in_journal(path) == []
    assert left_behind(log_of(path), journal.journal_id, 0)[0][1][0]["signature"] == str(intent.signature)
    assert journal.open_intents() == [intent]
    assert not journal.is_idle
    await journal.note("a", "commit")
    assert in_journal(path) == [str(intent.signature)]
    assert [row.payload["signature"] for row in journal.outbox(5)] == [str(intent.signature)]
    assert journal.totals()["intents"] == journal.backlog() == 1


async def test_without_another_commit_it_is_in_the_journal_soon(journal, path, records):
    await journal.record_intent(records.intent())
    await until(lambda: journal.is_idle)
    assert len(in_journal(path)) == 1


async def test_what_only_the_log_has_when_the_process_dies_is_open_at_the_next_start(
    journal, path, records, tmp_path, never_taken_over
):
    first, second, third = (records.intent() for _ in range(3))
    await journal.record_intent(first)
    await journal.note("a", "commit")
    await asyncio.gather(*map(journal.record_intent, (second, third)))
    left = died(path, tmp_path / "later")
    again = Journal.open(left, records.identity)
    assert again.open_intents() == [first, second, third]
    assert again.found_ahead == 2
    assert [row.payload["signature"] for row in again.outbox(9)] == [
        str(each.signature) for each in (first, second, third)
    ]
    await again.close()
    once_more = Journal.open(left, records.identity)
    assert once_more.found_ahead == 0
    assert once_more.backlog() == once_more.totals()["intents"] == 3
    await once_more.close()


async def test_an_outcome_finds_its_intent_though_the_journal_had_not_taken_it_over(
    journal, path, records, never_taken_over
):
    intent = records.intent()
    await journal.record_intent(intent)
    assert await journal.record_outcome(records.success(intent))
    assert journal.open_intents() == []
    again = records.intent(position=intent.position)
    await journal.record_intent(again)
    assert journal.open_intents() == [again]


async def test_a_position_has_one_open_intent_and_a_transaction_is_opened_once(
    journal, records, never_taken_over
):
    intent = records.intent()
    await journal.record_intent(intent)
    beside = records.intent(position=intent.position)
    with pytest.raises(IntentAlreadyOpen):
        await journal.record_intent(beside)
    twins = [records.intent(position=Pubkey.new_unique()) for _ in range(2)]
    twins[1] = replace(twins[1], position=twins[0].position)
    answers = await asyncio.gather(*map(journal.record_intent, twins), return_exceptions=True)
    assert [type(each) for each in answers] == [type(None), IntentAlreadyOpen]
    await journal.record_outcome(records.success(intent))
    with pytest.raises(IntentAlreadyOpen):
        await journal.record_intent(intent)
    assert intent not in journal.open_intents()


async def test_a_transaction_that_was_open_before_a_restart_is_not_opened_again(path, records):
    journal = Journal.open(path, records.identity, make_ahead=PromptWriter)
    intent = records.intent()
    await journal.record_intent(intent)
    await journal.record_outcome(records.success(intent))
    await closed(journal)
    assert not log_of(path).exists(), "all of it is in the journal"
    again = Journal.open(path, records.identity, make_ahead=PromptWriter)
    with pytest.raises(IntentAlreadyOpen):
        await again.record_intent(intent)
    await closed(again)


async def test_a_torn_frame_is_none_and_a_damaged_one_before_others_is_refused(
    journal, path, records, tmp_path, never_taken_over
):
    intents = [records.intent() for _ in range(3)]
    starts = []
    for intent in intents:
        starts.append(journal._intake._ahead.log._end if starts else 0)
        await journal.record_intent(intent)
    torn, damaged = died(path, tmp_path / "torn"), died(path, tmp_path / "damaged")
    for left, start in ((torn, starts[2]), (damaged, starts[1])):
        with log_of(left).open("r+b") as file:
            file.seek(start + 300)
            file.write(b"\0" * 16)
    again = Journal.open(torn, records.identity)
    assert again.open_intents() == intents[:2]
    await again.close()
    with pytest.raises(JournalCorrupt, match="intents are missing"):
        Journal.open(damaged, records.identity)
    assert damaged.with_name("journal.db.corrupt-1-intents").exists()


async def test_the_log_of_another_journal_is_refused(journal, path, records, tmp_path, never_taken_over):
    await journal.record_intent(records.intent())
    other = Journal.open(tmp_path / "other" / "journal.db", records.identity)
    await other.close()
    shutil.copy(log_of(path), log_of(other.path))
    with pytest.raises(JournalCorrupt, match="of another journal"):
        Journal.open(other.path, records.identity)


async def test_a_log_without_its_journal_is_no_first_start(path, records):
    path.parent.mkdir(exist_ok=True)
    log_of(path).write_bytes(b"left over")
    with pytest.raises(JournalCorrupt, match="a log of it is there"):
        Journal.open(path, records.identity)


async def test_a_full_log_sends_intents_through_a_commit_until_there_is_room(
    journal, path, records, never_taken_over, monkeypatch
):
    monkeypatch.setattr(log_module, "LOG_BYTES", 4096)
    intents = [records.intent() for _ in range(12)]
    for intent in intents:
        await journal.record_intent(intent)
    assert journal.open_intents() == intents
    assert in_journal(path) == [str(each.signature) for each in intents[: len(in_journal(path))]]
    assert in_journal(path)
    await journal.note("a", "commit")
    assert in_journal(path) == [str(each.signature) for each in intents]


async def test_a_log_that_cannot_be_written_refuses_once_and_commits_take_over(
    journal, path, records, monkeypatch
):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(IntentLog, "write", fail)
    lost = records.intent()
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        await journal.record_intent(lost)
    monkeypatch.undo()
    await until(lambda: not journal.why_closed())
    kept = records.intent(position=lost.position)
    await journal.record_intent(kept)
    assert in_journal(path) == [str(kept.signature)], "durable in the journal itself"
    assert journal.open_intents() == [kept]


def test_what_was_written_to_the_log_is_on_the_disk_when_the_write_returns(tmp_path):
    log = IntentLog(tmp_path / "log", "0" * 32, 0)
    assert fcntl.fcntl(log._file, fcntl.F_GETFL) & os.O_DSYNC
    log.close()


async def test_a_slow_disk_does_not_hold_the_loop_and_what_comes_meanwhile_goes_to_the_journal(
    journal, path, records, disk
):
    first, second = records.intent(), records.intent()
    opening = asyncio.ensure_future(journal.record_intent(first))
    for _ in range(8):
        await asyncio.sleep(0)
    assert not opening.done()
    await journal.record_intent(second)
    assert in_journal(path) == [str(second.signature)]
    assert journal.open_intents() == [second]
    disk.set()
    await opening
    assert set(journal.open_intents()) == {first, second}


async def test_a_disk_that_is_late_again_and_again_is_not_waited_for_standing_still(
    journal, records, monkeypatch
):
    write, release = IntentLog.write, threading.Semaphore(0)

    def slow(log: IntentLog, start: int, frame: bytes) -> None:
        assert release.acquire(timeout=30)
        write(log, start, frame)

    monkeypatch.setattr(prompt_module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(IntentLog, "write", slow)
    prompt = journal._intake._ahead
    for _ in range(prompt_module.OFTEN + 1):
        opening = asyncio.ensure_future(journal.record_intent(records.intent()))
        await until(lambda: prompt.is_busy)
        release.release()
        await opening
    assert not prompt._waits
    assert len(journal.open_intents()) == prompt_module.OFTEN + 1


async def test_what_nobody_waits_for_any_more_does_not_come_into_the_journal(journal, path, records, disk):
    given_up = records.intent()
    opening = asyncio.ensure_future(journal.record_intent(given_up))
    await until(lambda: journal._intake._ahead.is_busy)
    opening.cancel()
    disk.set()
    await until(lambda: journal.is_idle)
    again = records.intent(position=given_up.position)
    await journal.record_intent(again)
    assert journal.open_intents() == [again]
    await journal.note("a", "commit")
    assert in_journal(path) == [str(again.signature)]


async def test_a_journal_that_refuses_for_a_while_takes_over_what_is_ahead_once_it_can(
    journal, path, records, never_taken_over
):
    intent = records.intent()
    await journal.record_intent(intent)

    def refuse(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM no_such_table")

    with pytest.raises(JournalUnavailable):
        await journal._writer.run(refuse)
    assert journal.open_intents() == [intent]
    assert await journal.record_outcome(records.success(intent))
    assert in_journal(path) == [str(intent.signature)]


async def test_what_the_journal_will_not_take_over_is_damage(journal, path, records, never_taken_over):
    intent = records.intent()
    await journal.record_intent(intent)
    with sqlite3.connect(path) as vandal:
        vandal.execute(
            "INSERT INTO intents (signature, position, body) VALUES ('x', ?, '{}')", (str(intent.position),)
        )
    assert journal.damage is None
    await journal.note("a", "commit")
    assert "refused 1 intents that were durable" in journal.damage


async def test_a_journal_that_is_closing_tells_nobody_that_an_intent_is_open(path, records, monkeypatch):
    journal = Journal.open(path, records.identity, make_ahead=PromptWriter)
    await journal.note("a", "commit")
    monkeypatch.setattr(journal._writer, "_closing", True)
    intent = records.intent()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.record_intent(intent)
    assert journal.open_intents() == []
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.record_intent(records.intent())
    again = Journal.open(path, records.identity)
    assert again.open_intents() == [intent], "durable in the log, and proven expired by whoever comes next"
    await again.close()


def test_every_intent_that_was_acknowledged_is_there_after_kill_9(path, records, killed):
    acknowledged: set[str] = set()
    found_ahead = 0
    for _ in range(3):
        acknowledged |= killed(path, 200, 10, ahead=True)
        journal = Journal.open(path, records.identity)
        found_ahead += journal.found_ahead
        found = {str(intent.signature) for intent in journal.open_intents()}
        assert acknowledged <= found
        assert journal.backlog() == journal.totals()["intents"] == len(found)
        asyncio.run(journal.close())
    assert len(acknowledged) >= 600
    assert found_ahead > 0, "the log never had what the journal had not"


def test_a_frame_is_written_where_the_file_has_its_blocks_already(tmp_path):
    log = IntentLog(tmp_path / "log", "0" * 32, 0)
    size = log.path.stat().st_size
    for number in range(1, 4):
        start, frame = log.frame(['{"n": 1}'] * number)
        log.write(start, frame)
        log.taken_over(log.number)
        assert (start, log.number) == (0, number)
    assert log.path.stat().st_size == size == log_module.LOG_BYTES
    assert left_behind(log.path, "0" * 32, 2) == [(3, [{"n": 1}] * 3)]
    assert left_behind(log.path, "0" * 32, 3) == []
    log.abandon()
