"""Brings the database to this program's schema: numbered SQL files, each applied once, never edited after.

Everything happens in one transaction under an advisory lock, so that any number of engines may start at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import asyncpg

from engine.errors import MigrationRefused
from engine.store import statement_view
from engine.store.pool import OUTAGE, single_connection, unavailable

LOCK = 0x4C495155  # "LIQU", the advisory lock's number
STATEMENT_TIMEOUT_S = 120.0
_SCHEMA_NAME = re.compile(r"[a-z_]{1,40}")
_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the migrations folder."""

    version: int
    name: str
    statements: str

    @property
    def digest(self) -> str:
        """What the database remembers of the file."""
        return sha256(self.statements.encode()).hexdigest()


def packaged_migrations() -> list[Migration]:
    """The migrations that come with this program, in order."""
    found = []
    for entry in files("migrations").iterdir():
        match = _FILE_NAME.fullmatch(entry.name)
        if match is not None:
            found.append(Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


async def migrate(dsn: str, migrations: list[Migration] | None = None) -> int:
    """Apply what is missing and return the schema's version.

    Raises MigrationRefused when the database knows a migration that this program does not, when an applied
    file was edited, or when the user may not create tables; DatabaseUnavailable when it cannot be reached.
    """
    known = packaged_migrations() if migrations is None else migrations
    try:
        async with single_connection(dsn, STATEMENT_TIMEOUT_S) as connection:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await _ensure_schema(connection)
                await connection.execute(LEDGER)
                await apply_missing(connection, known)
            await statement_view.ensure(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationRefused(
            f"The database refuses to create tables ({error.args[0]}): "
            "run GRANT CREATE ON SCHEMA public TO the user of DATABASE_URL"
        ) from None
    except OUTAGE as error:
        raise unavailable(error, dsn) from None
    return known[-1].version if known else 0


async def _ensure_schema(connection: asyncpg.Connection) -> None:
    """Since PostgreSQL 15 only the owner may create tables in `public`.

    A user who was granted all privileges on the database, as operators commonly do, may create a schema:
    one of the user's own name comes first in the default search path.
    """
    schema = await connection.fetchval("SELECT current_setting('search_path')")
    if await connection.fetchval("SELECT current_schema()") is None and _SCHEMA_NAME.fullmatch(schema):
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")  # a dry run's, and nothing else's
        return
    may_use_public, may_create_schema = await connection.fetchrow(
        "SELECT has_schema_privilege(current_user, current_schema(), 'CREATE'),"
        " has_database_privilege(current_user, current_database(), 'CREATE')"
    )
    if not may_use_public and may_create_schema:
        await connection.execute("CREATE SCHEMA IF NOT EXISTS AUTHORIZATION CURRENT_USER")


async def apply_missing(connection: asyncpg.Connection, known: list[Migration]) -> None:
    """In the caller's transaction, apply what the ledger there lacks. Raises MigrationRefused."""
    rows = await connection.fetch("SELECT version, name, sha256 FROM schema_migrations ORDER BY version")
    applied = {row["version"]: row for row in rows}
    by_version = {migration.version: migration for migration in known}
    for version, row in applied.items():
        if version not in by_version:
            raise MigrationRefused(
                f"The database holds migration {row['name']}, which this program does not know: "
                "start the newer engine that applied it, or use another database"
            )
        if by_version[version].digest != row["sha256"]:
            raise MigrationRefused(
                f"Migration {row['name']} was edited after it was applied: "
                "reinstall the program, or use another database"
            )
    for migration in known:
        if migration.version not in applied:
            await connection.execute(migration.statements)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.digest,
            )
