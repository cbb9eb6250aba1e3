"""The journal's SQLite tables and the settings that make a commit durable.

A record is one JSON body beside the few columns that the engine looks things up by, so that no u64 has to
fit SQLite's signed 64 bits. Every record and its outbox row are written in the same transaction.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

APPLICATION_ID = 0x4C49514A  # "LIQJ"
FORMAT = 2  # 2: an intent may be final with its figures still owed

OPEN, CLOSED, OWED = 0, 1, 2
"""intents.closed. OWED: finalized, so that another may be signed, but its figures were not read yet."""

BUSY_TIMEOUT_S = 5.0
_WAL_LIMIT_BYTES = 16 * 1024 * 1024

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE intents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    signature TEXT NOT NULL UNIQUE,
    position TEXT NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0,
    submitted_at_ns INTEGER,
    body TEXT NOT NULL,
    outcome TEXT
);
CREATE UNIQUE INDEX one_open_intent_per_position ON intents (position) WHERE closed = 0;
CREATE INDEX intents_of_position ON intents (position, number);

CREATE TABLE failed (
    liquidation_id TEXT PRIMARY KEY,
    settled INTEGER NOT NULL,
    last_at_ns INTEGER NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX failed_by_age ON failed (settled, last_at_ns);

CREATE TABLE fund_transactions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    signature TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_index INTEGER NOT NULL,
    UNIQUE (signature, kind, event_index)
);

CREATE TABLE totals (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE fees_by_day (day INTEGER PRIMARY KEY, lamports TEXT NOT NULL);

CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, payload TEXT NOT NULL);
"""


def connect(path: Path) -> sqlite3.Connection:
    """The writer's connection: a commit returns when the write-ahead log is on disk."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # the writer folds the log, in its pauses
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        connection.execute("PRAGMA foreign_keys = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < FORMAT:
            connection.execute(f"PRAGMA user_version = {FORMAT}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A second connection that can only read; the write-ahead log lets it read while the writer writes."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def create(path: Path, identity: str, journal_id: str) -> None:
    """Write an empty journal to `path`; the caller gives it its name once it is complete."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN")
        for statement in TABLES.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?)",
            [("identity", identity), ("journal_id", journal_id), ("shipped_seq", "0")],
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
