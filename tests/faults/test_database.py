"""The database goes away in every way it can, long enough for a backlog: liquidations go on, then every row
arrives once and in order.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from arena import Arena, Engine
from own_postgres import OwnPostgres
from witness import nothing_is_missing_or_twice

from engine.store.embedded import running_dsn

BACKLOG = 60
TERMINATE = (
    "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'liquidation-engine') AS ended"
)
TERMINATIONS = 40


@pytest.fixture
async def database() -> AsyncIterator[OwnPostgres]:
    """A server that runs, with nothing in it."""
    database = OwnPostgres()
    try:
        await database.start()
        yield database
    finally:
        await database.close()


async def _begin(arena: Arena, database: OwnPostgres) -> Engine:
    """As `Arena.begin`, on the test's own database."""
    await arena.start_sandbox()
    arena.settings["DATABASE_URL"] = database.url
    engine = await arena.start_engine()
    await arena.ready()
    await arena.let_prices_go()
    await arena.liquidates(5)
    return engine


async def _liquidates_without_it(arena: Arena) -> None:
    """A backlog builds, it is told, and liquidations do not wait for it."""
    seen = await arena.until(
        f"the database is away and {BACKLOG} records wait",
        lambda seen: seen.database.state == "away" and seen.database.backlog >= BACKLOG,
        120,
    )
    assert any("the database is away" in line for line in seen.engine.degraded)
    assert seen.database.message
    await arena.liquidates(5)


async def _catches_up(arena: Arena) -> None:
    await arena.until(
        "the database has everything", lambda seen: seen.database.state == "ok" and seen.database.backlog < 20
    )


Fault = Callable[[OwnPostgres], Awaitable[None]]


async def _set_read_only(database: OwnPostgres) -> None:
    await database.execute(
        "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()", TERMINATE
    )


async def _set_writable(database: OwnPostgres) -> None:
    await database.execute("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


async def _swallow(database: OwnPostgres) -> None:
    database.proxy.swallow()


FAULTS: dict[str, tuple[Fault, Fault]] = {
    "stopped": (OwnPostgres.stop, OwnPostgres.start),
    "killed": (OwnPostgres.kill, OwnPostgres.start),
    "unreachable": (lambda it: it.proxy.refuse(), lambda it: it.proxy.forward()),
    "black hole": (_swallow, lambda it: it.proxy.forward()),
    "read-only": (_set_read_only, _set_writable),
}


@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FAULTS)
async def test_while_the_database_is_away_liquidations_go_on_and_later_every_row_arrives_once_in_order(
    name: str, arena: Arena, database: OwnPostgres
) -> None:
    begin, end = FAULTS[name]
    engine = await _begin(arena, database)
    for _ in range(2):
        await begin(database)
        await _liquidates_without_it(arena)
        await end(database)
        await _catches_up(arena)
        await arena.liquidates(2)
    await arena.comes_to_rest()
    assert engine.is_alive
    await nothing_is_missing_or_twice(arena, at_least=BACKLOG // 3)


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_a_server_that_restarts_at_once_is_used_again_without_a_person(
    arena: Arena, database: OwnPostgres
) -> None:
    await _begin(arena, database)
    for ending in (OwnPostgres.stop, OwnPostgres.kill) * 3:
        await ending(database)
        await database.start()
        await arena.liquidates(3)
        await _catches_up(arena)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_sessions_killed_over_and_over_in_the_middle_of_batches_lose_and_repeat_nothing(
    arena: Arena, database: OwnPostgres
) -> None:
    await _begin(arena, database)
    ended = 0
    for _ in range(TERMINATIONS):
        ended += await database.count(TERMINATE)
        await arena.liquidates(1)
    assert ended >= TERMINATIONS / 2
    await _catches_up(arena)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena, at_least=TERMINATIONS)


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_a_kill_of_the_engine_while_the_database_is_away_loses_nothing_and_the_next_start_does_not_wait(
    arena: Arena, database: OwnPostgres
) -> None:
    engine = await _begin(arena, database)
    for away in (_swallow, lambda it: it.proxy.refuse()):
        await away(database)
        await _liquidates_without_it(arena)
        await engine.kill()
        engine = await arena.start_engine()
        await arena.ready()
        await _liquidates_without_it(arena)
        await database.proxy.forward()
        await _catches_up(arena)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena, at_least=BACKLOG)


@pytest.fixture
def embedded(arena: Arena) -> Iterator[Path]:
    """Where the engine keeps its own database when it is told of no other."""
    folder = arena.paths.state / "postgres"
    yield folder
    # Run by root it is a link to a place that the server's user can enter.
    shutil.rmtree(folder.resolve(), ignore_errors=True)


@pytest.mark.faults
@pytest.mark.timeout(400)
async def test_the_embedded_database_killed_under_the_engine_comes_back_by_itself(
    arena: Arena, embedded: Path
) -> None:
    await arena.start_sandbox()
    del arena.settings["DATABASE_URL"]
    await arena.start_engine()
    await arena.ready()
    await arena.let_prices_go()
    for _ in range(3):
        await arena.liquidates(3)
        killed = _server_in(embedded)
        os.kill(killed, signal.SIGKILL)
        await arena.until(
            "another server runs", lambda seen, old=killed: _server_in(embedded) not in (0, old)
        )
        await _catches_up(arena)
    await arena.comes_to_rest()
    arena.settings["DATABASE_URL"] = running_dsn(embedded) or ""
    await nothing_is_missing_or_twice(arena)


def _server_in(folder: Path) -> int:
    """The process of a ready server, 0 while there is none."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except OSError:
        return 0
    return int(lines[0]) if lines[7:] and lines[7].strip() == "ready" else 0


@asynccontextmanager
async def _away(database: OwnPostgres) -> AsyncIterator[None]:
    await database.proxy.refuse()
    try:
        yield
    finally:
        await database.proxy.forward()


@pytest.mark.faults
async def test_the_very_first_start_without_a_database_says_so_in_one_line_and_signs_nothing(
    arena: Arena, database: OwnPostgres
) -> None:
    await arena.start_sandbox()
    await arena.let_prices_go()
    arena.settings["DATABASE_URL"] = database.url
    async with _away(database):
        engine = await arena.start_engine()
        assert await engine.ended() == 2
    line = engine.said.splitlines()[-1]
    assert line.startswith("liquidation-engine: Database connection failed: ")
    assert "check DATABASE_URL" in line
    options = {"commitment": "confirmed", "limit": 1}
    assert await arena.rpc("getSignaturesForAddress", str(arena.wallet), options) == []
    await arena.start_engine()
    await arena.ready()
    await arena.liquidates(2)
