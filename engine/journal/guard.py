"""Whether a journal file may be used: new, ours and whole, or kept aside until an operator agrees.

A damaged journal may have held open intents, so the engine cannot know what it already sent. It therefore
never starts over by itself: the file is renamed, and a marker keeps refusing until a person removes it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from pathlib import Path

from engine.errors import JournalCorrupt
from engine.journal import intent_log, schema
from engine.journal.errors import JournalForeign

MARKER = "journal.refused"
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_APPLICATION_ID_AT = 68
_COMPANIONS = ("", "-wal", "-shm", intent_log.SUFFIX)
# SQLITE_ERROR is a missing table or column here: the statements themselves are right.
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class _Damaged(Exception):
    """Why a file cannot be used as a journal."""


def admit(path: Path, identity: str) -> None:
    """Return when `path` is a whole journal of `identity`, creating it if nothing is there.

    Raises JournalCorrupt when it is damaged (it is then renamed to *.corrupt-N and a marker is left) or
    while the marker of an earlier refusal is still there, JournalForeign when it belongs to something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    marker = path.with_name(MARKER)
    if marker.exists():
        raise JournalCorrupt(_read_marker(marker))
    if not any(path.with_name(path.name + companion).exists() for companion in _COMPANIONS):
        _create(path, identity)
        return
    try:
        _check(path, identity)
    except _Damaged as damage:
        raise JournalCorrupt(refuse(path, str(damage))) from None


def _create(path: Path, identity: str) -> None:
    """Make the journal under another name first, so that a crash never leaves half of one."""
    scratch = path.with_name(path.name + ".new")
    for companion in _COMPANIONS:
        scratch.with_name(scratch.name + companion).unlink(missing_ok=True)
    os.close(os.open(scratch, os.O_CREAT | os.O_WRONLY, 0o600))
    schema.create(scratch, identity, uuid.uuid4().hex)
    _sync(scratch)
    scratch.replace(path)
    _sync(path.parent)


def _check(path: Path, identity: str) -> None:
    """Raise _Damaged unless the file is whole, JournalForeign unless it is this identity's."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise _Damaged("the file is gone but a log of it is there") from None
    # From the bytes: SQLite would already write to a file of another program when it opens it.
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise _Damaged("it does not begin as a SQLite file does")
    if int.from_bytes(header[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big") != schema.APPLICATION_ID:
        raise _Damaged("it is a SQLite file, but no journal")
    try:
        with contextlib.closing(schema.connect_reader(path)) as connection:
            found = _inspect(connection)
    except sqlite3.Error as error:
        if is_damage(error):
            raise _Damaged(str(error)) from None
        raise  # a locked file or a failing disk says nothing about what the file holds
    if found != identity:
        raise JournalForeign(
            f"The journal {path} belongs to another cluster, wallet or program ({found}, not {identity}): "
            "use another profile, or move the file away"
        )


def _inspect(connection: sqlite3.Connection) -> str:
    """The identity of a whole journal."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema.FORMAT:
        raise JournalForeign(
            f"The journal was written by a newer engine (format {version}, this one knows {schema.FORMAT}): "
            "start that engine"
        )
    problems = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if problems != ["ok"]:
        raise _Damaged(str(problems[0]).splitlines()[0])
    row = connection.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
    if row is None:
        raise _Damaged("it does not say whose it is")
    return str(row[0])


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite speaks of what the file holds, and not of a lock or the disk."""
    return error.sqlite_errorcode & 0xFF in _DAMAGE_CODES


def refuse(path: Path, damage: str) -> str:
    """Move the damaged files aside, leave the marker, and give the line that an operator reads."""
    marker = path.with_name(MARKER)
    number = 1
    while path.with_name(f"{path.name}.corrupt-{number}").exists():
        number += 1
    kept = path.with_name(f"{path.name}.corrupt-{number}")
    line = (
        f"The journal {path.name} is damaged ({damage}) and was kept as {kept}; what was sent before is not "
        f"known here: check the wallet's history on chain, then remove {marker} to start a new journal"
    )
    # The marker comes first: a crash between the two must not look like a first start.
    marker.write_text(line + "\n")
    _sync(marker)
    for companion in _COMPANIONS:
        source = path.with_name(path.name + companion)
        if source.exists():
            source.rename(kept.with_name(kept.name + companion))
    _sync(path.parent)
    return line


def _read_marker(marker: Path) -> str:
    try:
        line = marker.read_text(errors="replace").strip().splitlines()[0]
    except (OSError, IndexError):
        line = (
            f"A damaged journal was found earlier: check the wallet's history on chain, then remove {marker}"
        )
    return line


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
