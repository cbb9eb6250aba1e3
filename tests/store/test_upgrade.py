"""The embedded database under another PostgreSQL: carried over whole, or kept aside, and never lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from arrived import tuples

from engine.errors import DatabaseUnavailable
from engine.store import embedded, upgrade
from engine.store.embedded import embedded_postgres
from engine.store.migrate import migrate
from engine.store.postgres_files import (
    ServerUser,
    choose_user,
    find_binaries,
    find_older_binaries,
    initialise,
)

OLDER = 16


@pytest.fixture(scope="module")
def older_cluster(enterable_directory) -> Iterator[Path]:
    """A database of PostgreSQL 16 that an engine left, with something of the operator's own in it."""
    with enterable_directory() as directory:
        (directory / "pg").mkdir(mode=0o700)
        asyncio.run(make_older(directory / "pg"))
        yield directory / "pg"


@pytest.fixture
def older_data(older_cluster: Path, directory: Path) -> Path:
    """A copy of such a database, with its owner."""
    subprocess.run(["cp", "-a", str(older_cluster), str(directory / "pg")], check=True)
    return directory / "pg"


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """New data is made without waiting for the disk: no power is cut here."""

    def made(binaries: Path, data: Path, user: ServerUser, *, durable: bool) -> None:
        initialise(binaries, data, user, durable=False)

    for module in (upgrade, embedded):
        monkeypatch.setattr(module, "initialise", made)


async def make_older(data: Path) -> None:
    user = choose_user(None)
    older, newer = find_older_binaries(OLDER, user), find_binaries(user)
    assert older is not None, "the package of the embedded server brings an older one too"
    user.own(data)
    initialise(older, data, user, durable=False)
    with upgrade._Server(older, data, user, upgrade._socket_folder(user)) as server:
        server.psql(newer, "postgres", "CREATE DATABASE liquidation_db")
        dsn = f"postgresql://liquidation@/liquidation_db?host={server.sockets}"
        await migrate(dsn)
        rows = "SELECT 'j' || n, 'i', n, now() FROM generate_series(1, 99) n"
        await tuples(dsn, f"INSERT INTO journal_progress {rows}")
        await tuples(dsn, "CREATE ROLE auditor LOGIN")
        await tuples(dsn, "CREATE TABLE notes AS SELECT 'mine' AS note")
        await tuples(dsn, "GRANT SELECT ON notes TO auditor")
        await tuples(dsn, "CREATE INDEX idx_liquidations_timestamp ON liquidations(timestamp DESC)")
    assert (data / "PG_VERSION").read_text().strip() == str(OLDER)


async def test_an_older_database_is_carried_over_whole_and_its_data_stays_beside_it(older_data):
    async with embedded_postgres(older_data) as dsn:
        ((version,),) = await tuples(dsn, "SELECT current_setting('server_version_num')::int / 10000")
        assert version == 18
        assert await tuples(dsn, "SELECT count(*), sum(shipped_seq) FROM journal_progress") == [(99, 4950)]
        assert await tuples(dsn, "SELECT note FROM notes") == [("mine",)]
        assert await tuples(dsn, "SELECT has_table_privilege('auditor', 'notes', 'SELECT')") == [(True,)]
        indexes = "SELECT count(*) FROM pg_indexes WHERE indexname = 'idx_liquidations_timestamp'"
        assert await tuples(dsn, indexes) == [(1,)]
        await migrate(dsn)
    aside = older_data.with_name("pg-16")
    assert (aside / "PG_VERSION").read_text().strip() == "16"
    assert sorted(each.name for each in older_data.parent.iterdir()) == ["pg", "pg-16"]
    async with embedded_postgres(older_data) as dsn:
        assert await tuples(dsn, "SELECT count(*) FROM journal_progress") == [(99,)]


@pytest.mark.usefixtures("unsynced")
async def test_a_copy_that_lacks_rows_takes_no_place(older_data, monkeypatch):
    class Forgetful(upgrade._Server):
        def dump_into(self, newer, target):
            upgrade_server.dump_into(self, newer, target)
            target.psql(newer, "liquidation_db", "DELETE FROM journal_progress WHERE shipped_seq = 7")

    upgrade_server = upgrade._Server
    monkeypatch.setattr(upgrade, "_Server", Forgetful)
    with structlog.testing.capture_logs() as logs:
        async with embedded_postgres(older_data) as dsn:
            assert await tuples(dsn, "SELECT to_regclass('journal_progress') IS NULL") == [(True,)]
    (told,) = [each for each in logs if each["log_level"] == "error"]
    assert told["reason"] == "the copy does not hold as many rows"
    assert told["place"] == str(older_data.with_name("pg-16"))
    assert (older_data.with_name("pg-16") / "PG_VERSION").read_text().strip() == "16"


@pytest.mark.usefixtures("unsynced")
async def test_data_that_nothing_here_can_read_is_kept_aside_unchanged_and_said_in_one_line(directory):
    data = directory / "pg"
    taken = directory / "pg-9"
    for place, text in ((data, "9\n"), (taken, "8\n")):
        place.mkdir()
        (place / "PG_VERSION").write_text(text)
        (place / "base").write_text("years of history")
    with structlog.testing.capture_logs() as logs:
        async with embedded_postgres(data) as dsn:
            await migrate(dsn)
    (told,) = [each for each in logs if each["log_level"] == "error"]
    assert told["event"] == "the embedded database is of another PostgreSQL and is kept aside"
    assert (told["version"], told["place"]) == ("9", str(directory / "pg-9-2"))
    kept = {name: (directory / name / "base").read_text() for name in ("pg-9", "pg-9-2")}
    assert kept == dict.fromkeys(kept, "years of history")
    assert (directory / "pg-9-2" / "PG_VERSION").read_text() == "9\n"


@pytest.mark.usefixtures("unsynced")
async def test_an_upgrade_that_ended_between_its_two_renames_is_finished_at_the_next_start(data):
    async with embedded_postgres(data) as dsn:
        await tuples(dsn, "CREATE TABLE carried (n int)")
    new = data.with_name("pg-new")
    data.rename(new)
    (new / "carried-over").touch()
    async with embedded_postgres(data) as dsn:
        assert await tuples(dsn, "SELECT count(*) FROM carried") == [(0,)]
    assert not new.exists()
    assert not (data / "carried-over").exists()


async def test_an_older_database_that_is_in_use_is_left_alone(directory):
    data = directory / "pg"
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n{data}\n\n0 0\nready\n")
    with pytest.raises(DatabaseUnavailable, match=f"in use by process {os.getpid()}: end the engine"):
        async with embedded_postgres(data):
            pass
    assert {each.name for each in directory.iterdir()} == {"pg"}


@pytest.mark.usefixtures("unsynced")
async def test_a_server_that_a_killed_upgrade_left_is_ended_first(older_data):
    user = choose_user(None)
    older = find_older_binaries(OLDER, user)
    assert older is not None
    sockets = upgrade._socket_folder(user)
    upgrade._Server(older, older_data, user, sockets).__enter__()
    async with embedded_postgres(older_data) as dsn:
        assert await tuples(dsn, "SELECT count(*) FROM journal_progress") == [(99,)]
    assert older_data.with_name("pg-16").exists()
    assert not sockets.exists()
