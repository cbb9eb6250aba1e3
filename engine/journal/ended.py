"""What viewers read of the journal: the last attempts that ended, and the newest records as they come."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from engine.domain import Intent, Outcome
from engine.journal import encoding, schema
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind, OutboxRow

Ended = tuple[Intent, Outcome, int]
"""An intent, its outcome, and when that was recorded (ns)."""


def newest_ended(path: Path, limit: int) -> list[Ended]:
    """The last `limit` attempts that ended, newest first; for a thread, on a connection of its own.

    Raises JournalUnavailable.
    """
    try:
        with closing(schema.connect_reader(path)) as reader:
            rows = reader.execute(
                "SELECT body, outcome FROM intents WHERE closed = ? ORDER BY number DESC LIMIT ?",
                (schema.CLOSED, limit),
            ).fetchall()
    except sqlite3.Error as error:
        raise JournalUnavailable(f"The journal cannot be read ({error}): see to the disk") from None
    ended = []
    for body, outcome in rows:
        raw = encoding.load(outcome)
        ended.append(
            (encoding.intent_from(encoding.load(body)), encoding.outcome_from(raw), raw["recorded_at_ns"])
        )
    return ended


def records_after(path: Path, seq: int, limit: int) -> list[OutboxRow]:
    """The first `limit` records behind a number, oldest first; for a thread. Raises JournalUnavailable."""
    try:
        with closing(schema.connect_reader(path)) as reader:
            rows = reader.execute(
                "SELECT seq, kind, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            ).fetchall()
    except sqlite3.Error as error:
        raise JournalUnavailable(f"The journal cannot be read ({error}): see to the disk") from None
    return [OutboxRow(number, OutboxKind(kind), encoding.load(payload)) for number, kind, payload in rows]
