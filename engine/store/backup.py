"""Writes the whole record into one file: SQL that psql takes as it is, with the rows that it must come to.

The file is compressed with gzip. It begins with the migrations that made the tables, so that an empty
database is all it needs; it ends with a check of its own row counts, and only then commits.
`engine.store.restore` takes it without running what is written in it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedWriter
from pathlib import Path

import asyncpg

from engine import __version__
from engine.errors import OperatorError
from engine.store.migrate import LEDGER, packaged_migrations
from engine.store.pool import OUTAGE, single_connection, unavailable

FORMAT = 1
HEADING = "-- liquidation-engine backup "
DEADLINE_S = 6 * 3_600.0  # of one statement; a table may be large
TABLES = (
    "schema_migrations",
    "intents",
    "liquidations",
    "failed_liquidations",
    "insurance_fund_transactions",
    "positions",
    "control_actions",
    "journal_progress",
    "refused_records",
    "statement_statistics",
    "pruned_days",
)
"""Every table that the migrations make, in the order in which they are written."""
NUMBERED = ("liquidations", "insurance_fund_transactions", "control_actions")
"""Those whose rows get a number from a sequence."""


class BackupRefused(OperatorError):
    """A file cannot be written or read, or must not replace what the database holds; nothing was changed."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Written:
    """What a backup holds: rows by table, and the file's size in bytes."""

    rows: dict[str, int]
    size_bytes: int


async def write_backup(dsn: str, path: Path) -> Written:
    """Write what one moment of the database holds to a new file of mode 0600.

    Raises BackupRefused, DatabaseUnavailable; then there is no such file.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with _new_file(path, part) as file, _packed(file) as packed:
            rows = await _dump(dsn, packed)
        return Written(rows, _settle(part, path))
    except OSError as error:
        raise BackupRefused(
            f"{path} cannot be written ({error.strerror or error}): give another place"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _new_file(path: Path, part: Path) -> BufferedWriter:
    """Where it is written until it is whole: for this user alone, and over nothing that is there."""
    for each in (path, part):
        if each.exists():
            raise BackupRefused(f"{each} exists and is kept: give another name")
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _packed(file: BufferedWriter) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0)


def _settle(part: Path, path: Path) -> int:
    """Give the whole file its name, unless another has it by now, for good; returns its size in bytes."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.link(part, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path.stat().st_size


async def _dump(dsn: str, packed: gzip.GzipFile) -> dict[str, int]:
    async def write(data: bytes) -> None:
        await asyncio.to_thread(packed.write, data)

    try:
        async with _one_moment(dsn) as connection:
            version = await _schema_version(connection)
            tables = [name for name in TABLES if await _exists(connection, name)]
            await write(_beginning(version, tables).encode())
            rows = {}
            for table in tables:
                columns = ", ".join(await columns_of(connection, table))
                await write(f"COPY {table} ({columns}) FROM stdin;\n".encode())
                status = await connection.copy_from_query(
                    f"SELECT {columns} FROM {table}",  # noqa: S608 - names of the database's own catalogue
                    output=write,
                    format="text",
                    timeout=DEADLINE_S,
                )
                rows[table] = int(status.split()[-1])
                await write(f"\\.\n-- {table}: {rows[table]} rows\n".encode())
            await write(_ending(rows).encode())
    except OUTAGE as error:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            raise  # the file's
        raise unavailable(error, dsn) from None
    return rows


@asynccontextmanager
async def _one_moment(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees the database as it is now, whatever is written to it meanwhile."""
    async with (
        single_connection(dsn, DEADLINE_S) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def _schema_version(connection: asyncpg.Connection) -> int:
    if not await _exists(connection, "schema_migrations"):
        raise BackupRefused("The database has no record yet: there is nothing to back up")
    version = int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_migrations"))
    if version > packaged_migrations()[-1].version:
        raise BackupRefused("The database is of a newer engine: back it up with that one")
    return version


async def _exists(connection: asyncpg.Connection, table: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table))


async def columns_of(connection: asyncpg.Connection, table: str) -> list[str]:
    """The names of a table's columns, in order."""
    found = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        table,
    )
    return [row["attname"] for row in found]


def _beginning(version: int, tables: list[str]) -> str:
    known = [each for each in packaged_migrations() if each.version <= version]
    about = {
        "format": FORMAT,
        "program": __version__,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "migrations": {each.name: each.digest for each in known},
        "tables": tables,
    }
    lines = [
        f"{HEADING}{json.dumps(about)}",
        "-- Into an empty database: gunzip -c FILE | psql -v ON_ERROR_STOP=1 DATABASE",
        "BEGIN;",
        f"{LEDGER.strip()};",
        *(each.statements.strip() for each in known),
    ]
    return "\n".join(lines) + "\n"


def _ending(rows: dict[str, int]) -> str:
    lines = [sequence_statement(table) + ";" for table in NUMBERED if table in rows]
    lines.append("DO $check$ BEGIN")
    for table, count in rows.items():
        lines += [
            f"    IF (SELECT count(*) FROM {table}) <> {count} THEN",  # noqa: S608 - a table of ours
            f"        RAISE EXCEPTION 'the table {table} does not hold the {count} rows of the backup';",
            "    END IF;",
        ]
    return "\n".join([*lines, "END $check$;", "COMMIT;"]) + "\n"


def sequence_statement(table: str) -> str:
    """Lets the next row's number follow the largest that is there."""
    return (
        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "  # noqa: S608 - a name of this module
        f"(SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
    )
