"""Reads what has come into a database, over a connection of its own."""

from __future__ import annotations

from typing import Any

import asyncpg


async def rows(dsn: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn, timeout=20)
    try:
        found: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return found
    finally:
        await connection.close()


async def tuples(dsn: str, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await rows(dsn, query, *arguments)]
