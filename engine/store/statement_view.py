"""Makes `pg_stat_statements` answer: the server's own extension where loaded, else the engine's figures.

The extension needs the server's configuration (shared_preload_libraries) and a superuser, and a server may
come without it. Where it is missing, a view of the same name shows the engine's own measurements of its own
statements, in the columns that operators use (query, calls, total_exec_time and mean_exec_time in ms).
"""

from __future__ import annotations

import asyncpg

_VIEW = """
CREATE VIEW pg_stat_statements AS
SELECT
    query,
    calls,
    total_exec_time,
    CASE WHEN calls = 0 THEN 0 ELSE total_exec_time / calls END AS mean_exec_time
FROM statement_statistics
"""
_COMMENT = (
    "COMMENT ON VIEW pg_stat_statements IS 'Times in ms as the engine measured them for its own statements; "
    "to load the real extension, drop this view first'"
)
_RELATION_KIND = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('pg_stat_statements')"
_IS_LOADED = (
    "SELECT current_setting('is_superuser') = 'on'"
    " AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')"
)
_PRELOADED = "SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'"
_IS_OURS = (
    "SELECT EXISTS (SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid"
    " WHERE r.ev_class = to_regclass('pg_stat_statements')"
    " AND d.refobjid = to_regclass('statement_statistics'))"
)


async def ensure(connection: asyncpg.Connection) -> None:
    """Make a relation named pg_stat_statements exist, in a transaction of its own."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('pg_stat_statements'))")
        exists = await connection.fetchval(_RELATION_KIND) is not None
        ours = exists and await connection.fetchval(_IS_OURS)
        if exists and not ours:
            return
        # The library's setting is readable by a superuser only, hence the second question.
        if await connection.fetchval(_IS_LOADED) and await connection.fetchval(_PRELOADED):
            if ours:
                await connection.execute("DROP VIEW pg_stat_statements")
            await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        elif not ours:
            await connection.execute(_VIEW)
            await connection.execute(_COMMENT)
