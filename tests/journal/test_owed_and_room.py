"""What is final and not read yet, what is known of a signature, and what the journal keeps of the disk."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.journal import Journal, JournalUnavailable, UnknownIntent, room


@pytest.fixture
async def journal(tmp_path: Path, records):
    journal = Journal.open(tmp_path / "journal.db", records.identity)
    yield journal
    await journal.close()


async def test_an_intent_whose_figures_are_owed_frees_its_position_and_is_found_after_a_restart(
    journal, records
):
    first = records.intent()
    await journal.record_intent(first)
    await journal.record_owed(first.signature, 77)
    assert journal.open_intents() == []
    assert journal.owed() == [(first, 77)]
    second = records.intent(position=first.position)
    await journal.record_intent(second)
    await journal.close()
    again = Journal.open(journal.path, records.identity)
    assert (again.open_intents(), again.owed()) == ([second], [(first, 77)])
    assert again.attempts_of(first.position, 5) == [(second, None), (first, None)]
    assert await again.record_outcome(records.success(first))
    assert again.owed() == []
    assert again.totals()["full"] == 1
    assert again.attempts_of(first.position, 5)[1][1].slot == 1005
    await again.close()


async def test_what_is_known_is_no_longer_owed(journal, records):
    intent = records.intent()
    await journal.record_intent(intent)
    outcome = records.success(intent)
    await journal.record_outcome(outcome)
    await journal.record_owed(intent.signature, 77)
    assert journal.owed() == []
    assert journal.attempts_of(intent.position, 1) == [(intent, outcome)]
    with pytest.raises(UnknownIntent):
        await journal.record_owed(records.signature(), 77)


async def test_a_signature_is_known_from_its_intent_on_and_a_strangers_never(journal, records):
    intent = records.intent()
    assert not journal.knows(intent.signature)
    await journal.record_intent(intent)
    assert journal.knows(intent.signature)
    await journal.record_outcome(records.expiry(intent))
    assert journal.knows(intent.signature)
    assert not journal.knows(records.signature())


async def test_a_note_is_kept_over_the_former_one_across_restarts(journal, records):
    assert journal.noted("fund history") is None
    await journal.note("fund history", "one")
    await journal.note("fund history", "two")
    await journal.close()
    again = Journal.open(journal.path, records.identity)
    assert again.noted("fund history") == "two"
    assert again.noted("journal_id") is None
    await again.close()


async def test_on_a_nearly_full_disk_no_intent_is_taken_but_the_ends_of_those_in_flight_are(
    journal, records, monkeypatch
):
    in_flight = records.intent()
    await journal.record_intent(in_flight)
    disk = os.statvfs(journal.path.parent)
    short = SimpleNamespace(f_bavail=1, f_frsize=disk.f_frsize, f_blocks=disk.f_blocks)
    with monkeypatch.context() as full:
        full.setattr(room.os, "statvfs", lambda _: short)
        assert "nearly full" in journal.why_closed()
        with pytest.raises(JournalUnavailable, match="nearly full"):
            await journal.record_intent(records.intent())
        assert await journal.record_outcome(records.success(in_flight))
    assert journal.why_closed() == ""
    await journal.record_intent(records.intent())


async def test_no_intent_is_taken_into_a_file_that_was_taken_away_or_replaced(journal, records):
    aside = journal.path.with_name("aside")
    journal.path.rename(aside)
    for word in ("cannot be found", "is another file"):
        assert word in journal.why_closed()
        with pytest.raises(JournalUnavailable, match=word):
            await journal.record_intent(records.intent())
        journal.path.touch()
    aside.rename(journal.path)
    assert journal.why_closed() == ""
    await journal.record_intent(records.intent())


async def test_of_a_small_file_system_only_a_small_part_is_kept(tmp_path, monkeypatch):
    small = SimpleNamespace(f_bavail=300, f_frsize=4096, f_blocks=4096)  # 16 MiB, of which 1.2 are left
    monkeypatch.setattr(room.os, "statvfs", lambda _: small)
    assert room.DiskRoom(tmp_path).why_short() == ""
    small.f_bavail = 200
    assert room.DiskRoom(tmp_path).why_short()


async def test_a_file_that_makes_no_sense_any_more_is_told_as_damage_and_a_full_one_is_not(
    journal, records, eventually
):
    await journal.record_intent(records.intent())
    connection = journal._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    refused = 0
    for _ in range(20):
        try:
            await journal.record_intent(records.intent(raw_transaction=bytes(5000)))
        except JournalUnavailable as error:
            assert "full" in str(error)
            refused += 1
    assert refused
    await eventually(lambda: not journal.why_closed())
    assert journal.damage is None
    with sqlite3.connect(journal.path) as vandal:
        vandal.execute("DROP TABLE intents")
    with pytest.raises(JournalUnavailable):
        await journal.record_intent(records.intent())
    assert "intents" in journal.damage
