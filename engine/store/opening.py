"""Opens the engine's database at its start; where a record exists already, its outage holds up nothing.

The very first start needs the database: one that was never there is more likely a wrong setting than an
outage. Afterwards the journal is enough to liquidate with, and the schema is seen to when the server is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from engine.errors import DatabaseUnavailable
from engine.store.embedded import embedded_postgres
from engine.store.migrate import migrate
from engine.store.pool import Database, open_pool
from engine.telemetry.redaction import without_credentials

log = structlog.get_logger("store")

PATIENCE_S = 3.0  # of a start that can do without: open intents wait to be reconciled meanwhile


class Schema:
    """Whether the tables are there; `ensure` makes them so."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._is_there = False

    async def ensure(self) -> None:
        """Apply what is missing, unless that is known to be done; raises as `migrate` does."""
        if not self._is_there:
            version = await migrate(self._dsn)
            log.info("Database connected successfully")
            log.info("Database schema initialized", version=version)
            self._is_there = True

    def doubt(self) -> None:
        """A table was missing: somebody restored or emptied the database."""
        self._is_there = False


@asynccontextmanager
async def opened(
    dsn: str | None, data_dir: Path, *, may_be_away: bool
) -> AsyncIterator[tuple[Database, Schema]]:
    """The database of that DSN, or without one the embedded server on `data_dir`.

    Raises DatabaseUnavailable or MigrationRefused; with `may_be_away` a server that cannot be reached is none
    of these: the schema is then to be ensured later.
    """
    async with AsyncExitStack() as stack:
        if dsn is None:
            dsn = await stack.enter_async_context(embedded_postgres(data_dir))
        log.info(f"Connecting to database: {without_credentials(dsn)}")
        schema = Schema(dsn)
        if may_be_away:
            await _ensure_in_time(schema)
        else:
            await schema.ensure()
        database = await open_pool(dsn, connect_now=not may_be_away)
        stack.push_async_callback(database.close)
        yield database, schema


async def _ensure_in_time(schema: Schema) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await schema.ensure()
    except (DatabaseUnavailable, TimeoutError) as error:
        reason = str(error) or f"no answer in {PATIENCE_S:g} s"
        log.warning("starting without the database: history is late", reason=reason)
