"""How the record stands: the server, the schema against this program's, rows and sizes, the oldest day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import asyncpg

from engine.store.backup import TABLES
from engine.store.migrate import packaged_migrations
from engine.store.pool import OUTAGE, single_connection, unavailable

DEADLINE_S = 30.0
_DAYS = """
SELECT count(*) AS days, min(to_date(right(relname, 8), 'YYYYMMDD')) AS oldest
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = to_regclass('liquidations') AND relname ~ '^liquidations_[0-9]{8}$'
"""
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree($1::regclass)
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the record, with its partitions and indexes."""

    name: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Condition:
    """What `db status` tells. `pending` are migrations that were not applied yet, `wrong` are others'."""

    server: str
    is_encrypted: bool
    size_bytes: int
    applied: list[str]
    pending: list[str]
    wrong: list[str]
    tables: list[Table]
    days: int
    oldest_day: date | None


async def look(dsn: str) -> Condition:
    """Look at the database and change nothing. Raises DatabaseUnavailable."""
    try:
        async with single_connection(dsn, DEADLINE_S) as connection:
            applied = await _applied(connection)
            ours = {each.name: each.digest for each in packaged_migrations()}
            found = await connection.fetchrow(_DAYS)
            return Condition(
                server=str(await connection.fetchval("SHOW server_version")).split()[0],
                is_encrypted=bool(
                    await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                ),
                size_bytes=await connection.fetchval("SELECT pg_database_size(current_database())"),
                applied=list(applied),
                pending=[name for name in ours if name not in applied],
                wrong=[name for name, digest in applied.items() if ours.get(name) != digest],
                tables=[await _table(connection, name) for name in TABLES if await _exists(connection, name)],
                days=found["days"],
                oldest_day=found["oldest"],
            )
    except OUTAGE as error:
        raise unavailable(error, dsn) from None


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    if not await _exists(connection, "schema_migrations"):
        return {}
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations ORDER BY version")
    return {row["name"]: row["sha256"] for row in rows}


async def _exists(connection: asyncpg.Connection, name: str) -> bool:
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name))


async def _table(connection: asyncpg.Connection, name: str) -> Table:
    size = await connection.fetchval(_SIZE, name)
    rows = await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608 - a table of ours
    return Table(name, rows, size)
