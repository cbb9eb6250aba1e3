"""Puts a backup's rows into a database: read and counted beside what is there, and only then in its place.

All of it is one transaction, so that whatever goes wrong leaves the database as it was. Nothing that is
written in the file is run: its rows go through COPY into tables that this program's own migrations make.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from engine.errors import MigrationRefused
from engine.store.backup import (
    DEADLINE_S,
    FORMAT,
    HEADING,
    NUMBERED,
    TABLES,
    BackupRefused,
    columns_of,
    sequence_statement,
)
from engine.store.migrate import LEDGER, Migration, apply_missing, migrate, packaged_migrations
from engine.store.pool import OUTAGE, single_connection, unavailable

SCRATCH = "liquidation_restore"
_DERIVED = {"schema_migrations", "statement_statistics"}
"""What a database has that was never used: it replaces nothing of worth."""
_COPY = re.compile(rb"COPY ([a-z_]{1,60}) \(([a-z0-9_, ]{1,4000})\) FROM stdin;\n")
_COUNT = re.compile(rb"-- ([a-z_]{1,60}): ([0-9]{1,18}) rows\n")
_LONGEST_HEADING = 100_000
_LONGEST_ROW = 1 << 24
_CHUNK_BYTES = 1 << 20
_LEAVING_S = 2.0  # for a connection that was just closed to be gone from the server's list
_POLL_S = 0.1
_BROKEN = (OSError, EOFError, zlib.error, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class _Heading:
    """What a backup says of itself before anything else."""

    migrations: list[Migration]
    tables: list[str]


async def restore_backup(
    dsn: str, path: Path, *, replace: bool = False, while_in_use: bool = False
) -> dict[str, int]:
    """Make the database hold what the file holds, and this program's schema; returns rows by table.

    Without `replace` only where it holds no record yet, without `while_in_use` only where nobody else is
    connected to it. Raises BackupRefused, MigrationRefused or DatabaseUnavailable; then nothing was changed.
    """
    heading = _read_heading(path)
    try:
        async with single_connection(dsn, DEADLINE_S) as connection:
            await _refuse_company(connection, while_in_use=while_in_use)
        await migrate(dsn)  # an empty database gets its tables
        async with single_connection(dsn, DEADLINE_S) as connection, connection.transaction():
            if not replace:
                await _refuse_rows(connection)
            return await _exchange(connection, heading, path)
    except asyncpg.InsufficientPrivilegeError as error:
        raise BackupRefused(
            f"The database refuses ({error.args[0]}): GRANT CREATE ON DATABASE to its user"
        ) from None
    except OUTAGE as error:
        if isinstance(error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError):
            raise BackupRefused(
                f"{path} holds rows that the tables do not take ({error.args[0]}): nothing was changed"
            ) from None
        raise unavailable(error, dsn) from None


async def _refuse_company(connection: asyncpg.Connection, *, while_in_use: bool) -> None:
    waited_s = 0.0
    while (others := await _others(connection)) and not while_in_use:
        if waited_s >= _LEAVING_S:
            raise BackupRefused(
                f"The database is in use by {', '.join(others)}: stop the engine first, or add --while-in-use"
            )
        await asyncio.sleep(_POLL_S)
        waited_s += _POLL_S


async def _others(connection: asyncpg.Connection) -> list[str]:
    """Who else is connected to this database, by the programs' names."""
    found = await connection.fetch(
        "SELECT coalesce(nullif(application_name, ''), 'somebody') AS name, count(*) AS connections"
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' GROUP BY 1 ORDER BY 1"
    )
    return [f"{row['name']} ({row['connections']} connections)" for row in found]


async def _refuse_rows(connection: asyncpg.Connection) -> None:
    for table in TABLES:
        if table in _DERIVED:
            continue
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):  # noqa: S608 - ours
            raise BackupRefused(
                f"The database is not empty, it holds {table}: back it up, then add --replace"
            )


async def _exchange(connection: asyncpg.Connection, heading: _Heading, path: Path) -> dict[str, int]:
    """Load beside, count, migrate there, and then replace; in the caller's transaction."""
    home = await connection.fetchval(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'schema_migrations'::regclass"
    )
    await connection.execute(f"CREATE SCHEMA {SCRATCH}")
    await connection.execute(f"SET LOCAL search_path TO {SCRATCH}")
    await connection.execute(LEDGER)
    await apply_missing(connection, heading.migrations)
    rows = await _load(connection, heading, path)
    await apply_missing(connection, packaged_migrations())
    names = [f"{home}.{table}" for table in TABLES if table != "schema_migrations"]
    await connection.execute(f"SET LOCAL search_path TO {home}")
    await connection.execute(f"TRUNCATE {', '.join(names)}")
    await _make_room(connection)
    for table in TABLES:
        if table != "schema_migrations":
            columns = ", ".join(await columns_of(connection, f"{home}.{table}"))
            await connection.execute(
                f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608 - ours
                f" SELECT {columns} FROM {SCRATCH}.{table}"
            )
    for table in NUMBERED:
        await connection.execute(sequence_statement(table))
    await _compare(connection, {name: count for name, count in rows.items() if name != "schema_migrations"})
    await connection.execute(f"DROP SCHEMA {SCRATCH} CASCADE")
    return rows


async def _make_room(connection: asyncpg.Connection) -> None:
    """The partitions of the days that come, so that no row has to be moved again."""
    await connection.execute(
        f"SELECT make_liquidations_day(day) FROM (SELECT DISTINCT"  # noqa: S608 - ours
        f" (created_at AT TIME ZONE 'UTC')::DATE AS day FROM {SCRATCH}.liquidations"
        " WHERE created_at > now() - interval '730 days' AND created_at < now() + interval '2 days'"
        " AND bad_debt = 0 AND uncovered_bad_debt = 0) AS days"
    )


async def _load(connection: asyncpg.Connection, heading: _Heading, path: Path) -> dict[str, int]:
    """Every table's rows from the file, and as many as the file says; returns them by table."""
    rows: dict[str, int] = {}
    await connection.execute("DELETE FROM schema_migrations")
    try:
        with gzip.open(path, "rb") as file:
            for table, columns in _tables(file):
                known = set(await columns_of(connection, table)) if table in heading.tables else set()
                if table in rows or not set(columns) <= known:
                    raise BackupRefused(f"{path} has rows of {table} that no table takes: it was changed")
                await connection.copy_to_table(
                    table, source=_rows_of(file), columns=columns, format="text", timeout=DEADLINE_S
                )
                rows[table] = _said(file, table, path)
            if file.read(_CHUNK_BYTES)[-8:] != b"COMMIT;\n" or file.read(1):
                raise BackupRefused(f"{path} ends too early: take another backup")
    except _BROKEN as error:
        raise BackupRefused(f"{path} is damaged ({error}): take another backup") from None
    if list(rows) != heading.tables:
        raise BackupRefused(f"{path} lacks tables that it should have: take another backup")
    await _compare(connection, rows)
    return rows


async def _compare(connection: asyncpg.Connection, expected: dict[str, int]) -> None:
    for table, count in expected.items():
        found = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a table of ours
        if found != count:
            raise BackupRefused(
                f"The table {table} came to {found} rows where the backup says {count}: nothing was changed"
            )


def _tables(file: gzip.GzipFile) -> Iterator[tuple[str, list[str]]]:
    """The tables whose rows begin where the file stands; what lies before is passed over."""
    while line := file.readline(_CHUNK_BYTES):
        if match := _COPY.fullmatch(line):
            yield match[1].decode(), match[2].decode().split(", ")
        elif line == b"DO $check$ BEGIN\n":
            return


async def _rows_of(file: gzip.GzipFile) -> AsyncIterator[bytes]:
    """The lines up to the one that ends them, in pieces of about a megabyte."""
    piece = bytearray()
    while (line := file.readline(_LONGEST_ROW)) != b"\\.\n":
        if not line.endswith(b"\n"):
            raise EOFError("it ends in the middle of a row")
        piece += line
        if len(piece) >= _CHUNK_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _said(file: gzip.GzipFile, table: str, path: Path) -> int:
    """How many rows the file says that it has just given."""
    match = _COUNT.fullmatch(file.readline(_CHUNK_BYTES))
    if match is None or match[1].decode() != table:
        raise BackupRefused(f"{path} does not say how many rows {table} has: it was changed")
    return int(match[2])


def _read_heading(path: Path) -> _Heading:
    """What the file is; raises BackupRefused for one that is none, MigrationRefused for a newer engine's."""
    try:
        with gzip.open(path, "rb") as file:
            line = file.readline(_LONGEST_HEADING).decode()
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BackupRefused(f"{path} cannot be read ({reason}): name a file of `db backup`") from None
    try:
        if not line.startswith(HEADING):
            raise ValueError
        about = json.loads(line.removeprefix(HEADING))
        format_, migrations, tables = about["format"], dict(about["migrations"]), list(about["tables"])
    except (ValueError, KeyError, TypeError):
        raise BackupRefused(
            f"{path} is no file of `db backup`: what pg_dump wrote goes into an empty database by psql"
        ) from None
    known = {each.name: each for each in packaged_migrations()}
    if format_ != FORMAT or any(
        name not in known or known[name].digest != digest for name, digest in migrations.items()
    ):
        raise MigrationRefused(f"{path} is of another version of the engine: restore it with that one")
    return _Heading([known[name] for name in migrations], [name for name in TABLES if name in tables])
