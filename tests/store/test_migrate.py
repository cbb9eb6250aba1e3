"""Migrations: applied once by however many start together, and refused when they are not the ones applied."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from engine.errors import DatabaseUnavailable, MigrationRefused
from engine.store.migrate import Migration, migrate, packaged_migrations


async def rows(dsn: str, query: str) -> list[tuple]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_six_concurrent_starts_apply_each_migration_once(empty_database):
    counting = Migration(
        9001,
        "9001_counting.sql",
        "CREATE TABLE applied (n int); INSERT INTO applied SELECT 1 FROM pg_sleep(0.1);",
    )
    known = [*packaged_migrations(), counting]
    versions = await asyncio.gather(*(migrate(empty_database, known) for _ in range(6)))
    assert versions == [9001] * 6
    assert await rows(empty_database, "SELECT count(*) FROM applied") == [(1,)]
    assert len(await rows(empty_database, "SELECT * FROM schema_migrations")) == len(known)


async def test_an_edited_migration_is_refused_in_one_line_that_names_it(empty_database):
    known = packaged_migrations()
    await migrate(empty_database, known)
    edited = [replace(known[0], statements=known[0].statements + "\n-- edited"), *known[1:]]
    with pytest.raises(MigrationRefused, match=r"^Migration 0001_record\.sql was edited .*: reinstall.*$"):
        await migrate(empty_database, edited)


async def test_a_database_of_a_newer_engine_is_refused_and_unchanged(empty_database):
    newer = Migration(9002, "9002_from_the_future.sql", "CREATE TABLE future ();")
    await migrate(empty_database, [*packaged_migrations(), newer])
    before = await rows(empty_database, "SELECT * FROM schema_migrations")
    with pytest.raises(
        MigrationRefused, match=r"9002_from_the_future\.sql, which this program does not know"
    ):
        await migrate(empty_database)
    assert await rows(empty_database, "SELECT * FROM schema_migrations") == before


async def test_a_failing_migration_leaves_nothing_behind(empty_database):
    broken = Migration(9003, "9003_broken.sql", "CREATE TABLE half (); SELECT 1 / 0;")
    with pytest.raises(DatabaseUnavailable, match="division by zero"):
        await migrate(empty_database, [*packaged_migrations(), broken])
    tables = await rows(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables == []


async def test_the_guides_own_grant_is_enough_for_an_ordinary_user(postgres, empty_database):
    """GRANT ALL PRIVILEGES ON DATABASE does not let a user create tables in public since PostgreSQL 15."""
    name = urlsplit(empty_database).path[1:]
    await rows(empty_database, f"CREATE USER guide_{name}")
    await rows(empty_database, f"GRANT ALL PRIVILEGES ON DATABASE {name} TO guide_{name}")
    dsn = postgres.dsn(name, role=f"guide_{name}")
    assert await migrate(dsn) == await migrate(dsn) == packaged_migrations()[-1].version
    assert await rows(dsn, "SELECT count(*) FROM liquidations") == [(0,)]
    assert await rows(dsn, "SELECT count(*) FROM pg_stat_statements") == [(0,)]


async def test_a_user_who_may_create_nothing_is_told_which_grant_is_missing(postgres, empty_database):
    name = urlsplit(empty_database).path[1:]
    await rows(empty_database, f"CREATE USER guest_{name}")
    with pytest.raises(MigrationRefused, match="run GRANT CREATE ON SCHEMA public"):
        await migrate(postgres.dsn(name, role=f"guest_{name}"))
