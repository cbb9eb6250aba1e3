"""Reads the record for viewers, page by page, on connections of its own: no viewer holds up the shipping.

The pool belongs to the event loop that asks first, which need not be the engine's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg

from engine.store.pool import Database, open_pool
from engine.store.rows import Owner, moment

MAX_CONNECTIONS = 2
COUNTED_AT_MOST = 100_000

Page = tuple[list[asyncpg.Record], int]
"""Rows, and how many there are beyond them, up to 100,000."""


@dataclass(frozen=True, slots=True)
class LiquidationFilter:
    """Which attempts are wanted; None wants all. `search` is how a position, owner or signature begins.

    `from_ns` is counted in, `to_ns` is not.
    """

    symbol: str | None = None
    outcome: str | None = None
    search: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    position: str | None = None


class RecordReader:
    """Pages of one engine's record, newest first. Every call may raise one of `pool.OUTAGE`."""

    def __init__(self, dsn: str, identity: str) -> None:
        self._dsn = dsn
        self._owner = Owner.parse(identity)
        self._database: Database | None = None
        self._opening = asyncio.Lock()

    async def liquidations(self, wanted: LiquidationFilter, limit: int, offset: int) -> Page:
        """Attempts whose end is known."""
        owner = self._owner
        matching = (
            owner.cluster,
            owner.liquidator,
            owner.program_id,
            wanted.symbol,
            wanted.outcome,
            wanted.search,
            None if wanted.from_ns is None else moment(wanted.from_ns),
            None if wanted.to_ns is None else moment(wanted.to_ns),
            wanted.position,
        )
        return await self._page("liquidations", matching, limit, offset)

    async def fund_movements(self, limit: int, offset: int) -> Page:
        """Movements of the insurance fund."""
        owner = self._owner
        return await self._page("fund", (owner.cluster, owner.program_id), limit, offset)

    async def commands(self, limit: int, offset: int) -> Page:
        """The audit."""
        owner = self._owner
        return await self._page("audit", (owner.cluster, owner.liquidator), limit, offset)

    def explain(self, error: BaseException) -> str:
        """A failure in a few words, without the password."""
        return "no answer" if self._database is None else self._database.explain(error)

    async def close(self) -> None:
        """Close the connections, in the loop that asked."""
        if self._database is not None:
            await self._database.close()

    async def _page(self, name: str, matching: tuple[object, ...], limit: int, offset: int) -> Page:
        database = await self._opened()
        async with database.transaction() as session:
            rows = await session.fetch(f"{name}_page", *matching, limit, offset)
            (counted,) = await session.fetch(f"{name}_count", *matching, COUNTED_AT_MOST)
        return rows, counted["total"]

    async def _opened(self) -> Database:
        async with self._opening:
            if self._database is None:
                self._database = await open_pool(
                    self._dsn, connect_now=False, max_connections=MAX_CONNECTIONS
                )
            return self._database
