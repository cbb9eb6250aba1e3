"""The record: whether PostgreSQL answers, how soon, and whether its schema is this program's."""

from __future__ import annotations

import time

from engine.doctor.findings import Finding, fail, ok, warn
from engine.paths import ProfilePaths
from engine.settings import Settings
from engine.store.embedded import running_dsn
from engine.store.migrate import packaged_migrations
from engine.store.pool import single_connection

OLDEST_VERSION = 130_000
SLOW_MS = 20.0
DEADLINE_S = 5.0


async def look(settings: Settings, paths: ProfilePaths) -> list[Finding]:
    """Of the server of the settings, or of the one in the box while it runs. Raises DatabaseUnavailable."""
    dsn = settings.database_dsn or running_dsn(paths.state / "postgres")
    if dsn is None:
        return [ok("database", "the one in the box, which starts with the engine")]
    async with single_connection(dsn, DEADLINE_S) as connection:
        began = time.monotonic()
        number = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
        took_ms = (time.monotonic() - began) * 1000
        reads_only = await connection.fetchval("SELECT pg_is_in_recovery()")
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        has_ledger = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
        rows = await connection.fetch("SELECT version, sha256 FROM schema_migrations") if has_ledger else []
    text = f"PostgreSQL {number // 10_000}.{number % 10_000}, {took_ms:.1f} ms, {size / (1 << 20):.0f} MiB"
    if number < OLDEST_VERSION:
        return [fail("database", text, "use PostgreSQL 13 or newer")]
    if reads_only:
        return [fail("database", f"{text}, reads only", "point DATABASE_URL at the primary")]
    server = warn("database", text, "move it nearer") if took_ms > SLOW_MS else ok("database", text)
    return [server, _migrations({row["version"]: row["sha256"] for row in rows})]


def _migrations(applied: dict[int, str]) -> Finding:
    ours = {each.version: each.digest for each in packaged_migrations()}
    if any(ours.get(version) != digest for version, digest in applied.items()):
        remedy = "start the program that applied them, or use another database"
        return fail("migrations", "the database holds others than this program's", remedy)
    missing = len(ours.keys() - applied.keys())
    if missing:
        return ok("migrations", f"{missing} will be applied by the next start")
    return ok("migrations", f"all {len(ours)} are applied")
