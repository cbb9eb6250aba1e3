"""What was refused and is on the disk all the same is struck out before anything is opened in its place."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.domain import OutcomeClass
from engine.journal import Journal, JournalUnavailable, guard
from engine.journal import journal as journal_module
from engine.journal.intent_log import IntentLog
from engine.journal.prompt_writer import PromptWriter
from engine.journal.records import OutboxKind

REPOSITORY = Path(__file__).parents[2]
NO_STRACE = "the Debian package strace is not installed"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path, records):
    journal = Journal.open(path, records.identity, make_ahead=PromptWriter)
    yield journal
    await journal.close()


@pytest.fixture
def failing_sync(monkeypatch):
    """The log's disk says that it failed, and has the frame all the same."""
    write = IntentLog.write

    def fail(log: IntentLog, start: int, frame: bytes) -> None:
        write(log, start, frame)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(IntentLog, "write", fail)


def found_by_the_next(path: Path, folder: Path, identity: str) -> Journal:
    """The journal of whoever starts on the files as a process that dies now leaves them."""
    folder.mkdir()
    for file in path.parent.glob("journal.db*"):
        if not file.name.endswith("-shm"):  # memory, and gone with the last process that had it
            shutil.copy(file, folder / file.name)
    return Journal.open(folder / path.name, identity)


async def test_a_frame_that_failed_and_is_there_all_the_same_does_not_come_back_beside_a_later_intent(
    journal, path, records, tmp_path, failing_sync, eventually
):
    refused = records.intent()
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        await journal.record_intent(refused)
    await eventually(lambda: not journal.why_closed())
    later = records.intent(position=refused.position)
    await journal.record_intent(later)
    await journal.record_outcome(records.success(later))
    another = records.intent()
    await journal.record_intent(another)
    again = found_by_the_next(path, tmp_path / "later", records.identity)
    assert again.open_intents() == [another]
    assert again.found_ahead == 0
    await again.close()


async def test_until_it_is_struck_out_a_start_finds_it_and_nothing_else_is_taken(
    journal, path, records, tmp_path, failing_sync, eventually
):
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    refused, other = records.intent(), records.intent()
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        await journal.record_intent(refused)
    with pytest.raises(JournalUnavailable, match="cannot be written"):
        await journal.record_intent(other)
    again = found_by_the_next(path, tmp_path / "later", records.identity)
    assert again.open_intents() == [refused]
    await again.close()
    blocker.execute("ROLLBACK")
    blocker.close()
    await eventually(lambda: not journal.why_closed())
    await journal.record_intent(other)
    assert journal.open_intents() == [other]


async def test_a_frame_that_comes_after_it_was_given_up_is_none(
    journal, path, records, tmp_path, monkeypatch, eventually
):
    write, goes_on = IntentLog.write, threading.Event()

    def slow(log: IntentLog, start: int, frame: bytes) -> None:
        write(log, start, frame)
        assert goes_on.wait(30)

    monkeypatch.setattr(IntentLog, "write", slow)
    monkeypatch.setattr(journal._intake, "_deadline_s", 0.05)
    late = records.intent()
    with pytest.raises(JournalUnavailable, match="did not answer"):
        await journal.record_intent(late)
    await eventually(lambda: not journal.why_closed())
    other = records.intent()
    await journal.record_intent(other)
    again = found_by_the_next(path, tmp_path / "later", records.identity)
    assert again.open_intents() == [other]
    await again.close()
    goes_on.set()
    await eventually(lambda: journal.is_idle)
    ahead = records.intent(position=late.position)
    monkeypatch.setattr(journal._intake, "_deadline_s", 30)
    await journal.record_intent(ahead)
    assert journal.open_intents() == [other, ahead]


async def test_a_commit_that_comes_after_it_was_given_up_opens_nothing_and_says_so_in_the_history(
    path, records, monkeypatch, eventually
):
    monkeypatch.setattr(journal_module, "WRITE_DEADLINE_S", 0.2)
    journal = Journal.open(path, records.identity)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    late = records.intent()
    with pytest.raises(JournalUnavailable, match="did not answer"):
        await journal.record_intent(late)
    assert "did not answer" in journal.why_closed()
    blocker.execute("ROLLBACK")
    blocker.close()
    await eventually(lambda: not journal.why_closed())
    assert journal.open_intents() == []
    ((kept, outcome),) = journal.attempts_of(late.position, 5)
    assert (kept, outcome.outcome, outcome.landed) == (late, OutcomeClass.NEVER_SENT, False)
    assert [row.kind for row in journal.outbox(9)] == [OutboxKind.INTENT, OutboxKind.OUTCOME]
    assert journal.totals() | {"intents": 1, "attempts": 0} == journal.totals()
    monkeypatch.setattr(journal._writer, "_deadline_s", 30)
    in_its_place = records.intent(position=late.position)
    await journal.record_intent(in_its_place)
    assert journal.open_intents() == [in_its_place]
    await journal.close()


REFUSED_ONCE = """
import asyncio, os, sys
from pathlib import Path
from solders.pubkey import Pubkey
from solders.signature import Signature
from engine.domain import Action, Intent
from engine.journal import Journal, JournalUnavailable

async def main(path, identity, waits):
    journal = Journal.open(Path(path), identity)
    refused = None
    for number in range(50):
        signature = Signature(os.urandom(64))
        try:
            await journal.record_intent(Intent(
                signature, Pubkey(os.urandom(32)), Pubkey.new_unique(), "SOL/USD", Action.FULL, 1, 0, "id",
                os.urandom(300), "hash", 1, 1, 1, 1, 1, "{}"))
        except JournalUnavailable:
            refused = signature
            break
    if waits == "waits":
        while journal.why_closed():
            await asyncio.sleep(0.01)
    print(refused, number)
    sys.stdout.flush()
    os._exit(0)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason=NO_STRACE)
@pytest.mark.parametrize(("waits", "is_found"), [("at once", True), ("waits", False)])
def test_a_commit_whose_sync_failed_is_on_the_disk_until_it_is_struck_out(path, records, waits, is_found):
    guard.admit(path, records.identity)
    done = subprocess.run(
        [
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
            "-e", "inject=fdatasync:error=EIO:when=4",
            sys.executable, "-c", REFUSED_ONCE, str(path), records.identity, waits,
        ],
        capture_output=True,
        cwd=REPOSITORY,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    refused, before = done.stdout.split()
    assert refused != "None", "no sync failed"
    again = Journal.open(path, records.identity)
    signatures = [str(intent.signature) for intent in again.open_intents()]
    assert (refused in signatures) is is_found
    assert len(signatures) == int(before) + is_found
    asyncio.run(again.close())
