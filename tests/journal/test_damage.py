"""A journal that cannot be read: kept aside, refused until an operator agrees, never replaced silently."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import JournalCorrupt
from engine.journal import Journal, JournalForeign


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble_on_the_header(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be one" + path.read_bytes()[48:])


def scribble_on_every_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"\xff" * 64
    path.write_bytes(data)


def replace_with_another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE shopping (item TEXT)")


def drop_a_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE meta")


def drop_the_intents(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE intents")


def spoil_an_intent(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE intents SET body = '{\"signature\": 5}'")


DAMAGES = [
    cut,
    empty,
    scribble_on_the_header,
    scribble_on_every_page,
    replace_with_another_database,
    drop_a_table,
    drop_the_intents,
    spoil_an_intent,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_journal_is_kept_and_refused_until_the_marker_is_removed(
    tmp_path, records, damage: Callable[[Path], None]
):
    path = tmp_path / "journal.db"
    journal = Journal.open(path, records.identity)
    for _ in range(20):
        await journal.record_intent(records.intent())
    await journal.close()
    damage(path)
    damaged = path.read_bytes()

    with pytest.raises(JournalCorrupt) as refusal:
        Journal.open(path, records.identity)
    kept = tmp_path / "journal.db.corrupt-1"
    marker = tmp_path / "journal.refused"
    assert str(kept) in str(refusal.value)
    assert str(marker) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert kept.read_bytes() == damaged
    assert not path.exists()

    with pytest.raises(JournalCorrupt) as again:
        Journal.open(path, records.identity)
    assert str(again.value) == str(refusal.value)
    assert not path.exists()

    marker.unlink()
    fresh = Journal.open(path, records.identity)
    assert fresh.open_intents() == []
    await fresh.close()

    empty(path)
    with pytest.raises(JournalCorrupt, match="corrupt-2"):
        Journal.open(path, records.identity)
    assert kept.read_bytes() == damaged


async def test_a_write_ahead_log_without_its_file_is_damage_not_a_first_start(tmp_path, records):
    path = tmp_path / "journal.db"
    path.with_name("journal.db-wal").write_bytes(b"left over")
    with pytest.raises(JournalCorrupt, match="gone"):
        Journal.open(path, records.identity)
    assert (tmp_path / "journal.db.corrupt-1-wal").read_bytes() == b"left over"


async def test_a_crash_while_the_journal_is_made_leaves_a_first_start(tmp_path, records):
    path = tmp_path / "journal.db"
    path.with_name("journal.db.new").write_bytes(b"half of a file")
    journal = Journal.open(path, records.identity)
    await journal.record_intent(records.intent())
    await journal.close()


async def test_a_journal_of_a_newer_engine_is_refused_and_left_alone(tmp_path, records):
    path = tmp_path / "journal.db"
    await Journal.open(path, records.identity).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalForeign, match="newer engine"):
        Journal.open(path, records.identity)
    assert path.exists()
    assert not (tmp_path / "journal.refused").exists()
