"""Connecting: one line that says what is wrong and what to do, in time, and never the password."""

from __future__ import annotations

import asyncio
import socket
import time

import asyncpg
import pytest

import engine.store.pool as pool_module
from engine.errors import DatabaseUnavailable
from engine.store.migrate import migrate
from engine.store.pool import open_pool, short_reason

PASSWORD = "hunter2%2Fsecret"
SPELLINGS = ("hunter2", "secret")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("start", [open_pool, migrate], ids=["open_pool", "migrate"])
@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        (f"postgresql://liquidation:{PASSWORD}@127.0.0.1:{{port}}/liquidation_db", "connection refused"),
        (f"postgresql://liquidation:{PASSWORD}@/liquidation_db?host=/nonexistent", "no such socket"),
        (f"postgresql://liquidation:{PASSWORD}@nosuchhost.invalid/liquidation_db", ""),
        (f"postgresql://liquidation:{PASSWORD}@127.0.0.1:notaport/liquidation_db", ""),
        (f"postgresql://{{socket}}&password={PASSWORD}&user=liquidation", "does not exist"),
    ],
    ids=["refused", "no socket", "unknown host", "no port", "no such database"],
)
async def test_a_database_that_cannot_be_used_is_one_line_without_the_password(postgres, start, dsn, reason):
    dsn = dsn.format(port=free_port(), socket=f"/nosuchdatabase?host={postgres.sockets}")
    with pytest.raises(DatabaseUnavailable) as refusal:
        await start(dsn)
    line = str(refusal.value)
    assert line.startswith("Database connection failed: ")
    assert line.endswith(": check DATABASE_URL and that PostgreSQL is running")
    assert reason in line
    assert "\n" not in line
    assert not any(spelling in line for spelling in SPELLINGS)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:{PASSWORD}@host/db",
        f"postgresql://host/db?user=u&password={PASSWORD}",
        f"postgresql://u:{PASSWORD}@host:badport/db",
        f"postgresql://u:{PASSWORD}@[bad/db",
    ],
)
def test_no_spelling_of_the_password_survives_in_a_reason(dsn):
    for text in (dsn, "hunter2/secret", f"invalid value {PASSWORD!r} in {dsn}"):
        shown = short_reason(ValueError(text), dsn)
        assert not any(spelling in shown for spelling in SPELLINGS), shown


async def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(pool_module, "CONNECT_TIMEOUT_S", 0.3)
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=r"no answer in 0\.3 s"):
        await open_pool(f"postgresql://u:p@127.0.0.1:{port}/db")
    assert time.monotonic() - started < 3
    silent.close()


async def test_every_connection_carries_the_servers_own_deadlines(database_url):
    database = await open_pool(database_url)
    async with database.transaction() as session:
        shown = {
            name: await session._connection.fetchval(f"SELECT current_setting('{name}')")
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }
    assert shown == {
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
    }
    await database.close()


async def test_a_transaction_that_fails_leaves_nothing_and_the_pool_goes_on(database_url):
    database = await open_pool(database_url)
    with pytest.raises(asyncpg.PostgresError):
        async with database.transaction() as session:
            await session.executemany("add_statement_statistics", [("x", "SELECT 1", 1, 1.0)])
            await session._connection.execute("SELECT 1 / 0")
    async with database.transaction() as session:
        assert await session._connection.fetchval("SELECT count(*) FROM statement_statistics") == 0
    await database.close()
