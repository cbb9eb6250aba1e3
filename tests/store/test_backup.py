"""Copies of the record: whole, of one moment, of use without this program, and put back only when whole."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from engine.clock import SystemClock
from engine.errors import DatabaseUnavailable, MigrationRefused
from engine.journal import ControlRecord, FundTransaction, FundTransactionKind, Journal
from engine.store.backup import TABLES, BackupRefused, write_backup
from engine.store.migrate import migrate, packaged_migrations
from engine.store.outbox import OutboxShipper
from engine.store.pool import open_pool
from engine.store.postgres_files import ServerUser, find_binaries
from engine.store.restore import restore_backup
from engine.store.retention import make_days

DAY_NS = 86_400 * 10**9
HOSTILE = "tab\there, newline\nthere, \\. and \\N, 'quotes', $check$ é"


async def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def everything(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: sorted(map(repr, await rows(dsn, f"SELECT * FROM {table}")))
        for table in TABLES
        if table != "schema_migrations"
    }


@pytest.fixture
async def filled(tmp_path: Path, records, database_url) -> str:
    """A record of several days with hostile text, in a database that the engine has left."""
    journal = Journal.open(tmp_path / "journal.db", records.identity)
    for age in (0, 1, 1, 7, 400, 900):
        at_ns = time.time_ns() - age * DAY_NS
        intent = records.intent(detected_at_ns=at_ns, created_at_ns=at_ns, symbol=HOSTILE)
        await journal.record_intent(intent)
        await journal.record_outcome(records.success(intent, bad_debt_lamports=age, covered_lamports=age))
    await journal.record_control(ControlRecord(1, HOSTILE, "stop", HOSTILE, accepted=True))
    await journal.record_fund_transaction(
        FundTransaction(intent.signature, FundTransactionKind.CONTRIBUTION, 2**63, intent.position, 5, 6)
    )
    database = await open_pool(database_url)
    assert await OutboxShipper(journal, database, SystemClock()).drain(20)
    await make_days(database, time.time_ns(), 30)
    await database.close()
    await journal.close()
    return database_url


@pytest.fixture
async def backup(filled: str, tmp_path: Path) -> Path:
    path = tmp_path / "record.sql.gz"
    await write_backup(filled, path)
    return path


def altered(backup: Path, change: Callable[[bytes], bytes]) -> Path:
    """Another file: the same text, changed."""
    other = backup.with_name("altered.sql.gz")
    other.write_bytes(gzip.compress(change(gzip.decompress(backup.read_bytes()))))
    return other


async def test_every_table_of_the_migrations_is_in_a_backup(database_url):
    found = await rows(
        database_url,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace",
    )
    assert {name for (name,) in found} == set(TABLES)


async def test_a_backup_restores_every_row_into_an_empty_database(filled, backup, empty_database):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    counts = await restore_backup(empty_database, backup)
    assert counts["liquidations"] == counts["intents"] == 6
    assert await everything(empty_database) == await everything(filled)
    assert await migrate(empty_database) == packaged_migrations()[-1].version
    for table in ("liquidations", "control_actions"):
        ((largest, following),) = await rows(
            empty_database, f"SELECT max(id), nextval(pg_get_serial_sequence('{table}', 'id')) FROM {table}"
        )
        assert following == largest + 1
    left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'liquidation_restore'"
    assert await rows(empty_database, left) == [(0,)]


async def test_a_record_is_replaced_only_when_told_and_indexes_of_the_operators_stay(filled, backup):
    await rows(filled, "CREATE INDEX idx_liquidations_timestamp ON liquidations(timestamp DESC)")
    before = await everything(filled)
    await rows(filled, "DELETE FROM liquidations")
    with pytest.raises(BackupRefused, match="not empty, it holds intents: back it up"):
        await restore_backup(filled, backup)
    await restore_backup(filled, backup, replace=True)
    assert await everything(filled) == before
    found = await rows(
        filled, "SELECT count(*) FROM pg_indexes WHERE indexname = 'idx_liquidations_timestamp'"
    )
    assert found == [(1,)]


async def test_a_database_in_use_is_left_alone_unless_told(backup, empty_database, monkeypatch):
    monkeypatch.setattr("engine.store.restore._LEAVING_S", 0.2)
    engine = await open_pool(empty_database)
    try:
        with pytest.raises(BackupRefused, match=r"in use by liquidation-engine \(1 connections\): stop"):
            await restore_backup(empty_database, backup)
        assert (await restore_backup(empty_database, backup, while_in_use=True))["intents"] == 6
    finally:
        await engine.close()


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a row is missing": (lambda text: re.sub(rb"(COPY intents [^\n]*\n)[^\n]*\n", rb"\1", text), "says 6"),
    "a count is another": (lambda text: text.replace(b"-- intents: 6 rows", b"-- intents: 7 rows"), "says 7"),
    "a table is missing": (
        lambda text: re.sub(rb"COPY positions .*?-- positions: 0 rows\n", b"", text, flags=re.DOTALL),
        "lacks tables",
    ),
    "it ends early": (lambda text: text[: len(text) // 2], "damaged|ends too early|lacks"),
    "it lacks its end": (lambda text: text[:-20], "ends too early"),
    "another table": (lambda text: text.replace(b"COPY positions (", b"COPY pg_authid ("), "no table takes"),
    "another column": (
        lambda text: re.sub(rb"COPY positions \([a-z_]+", b"COPY positions (rolname", text),
        "no table takes",
    ),
    "a value that is none": (lambda text: text.replace(b"\tfull\t", b"\tsome\t"), "do not take"),
    "nothing of it": (lambda text: b"\n".join(text.splitlines()[1:]), "no file of `db backup`"),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_damaged_backup_is_refused_and_changes_nothing(filled, backup, name):
    change, complaint = DAMAGES[name]
    before = await everything(filled)
    other = altered(backup, change)
    assert gzip.decompress(other.read_bytes()) != gzip.decompress(backup.read_bytes())
    with pytest.raises(BackupRefused, match=complaint):
        await restore_backup(filled, other, replace=True)
    assert await everything(filled) == before


async def test_a_cut_file_and_one_of_another_engine_are_refused(backup, empty_database):
    cut = backup.with_name("cut.gz")
    cut.write_bytes(backup.read_bytes()[:-200])
    with pytest.raises(BackupRefused, match=r"cut\.gz is damaged"):
        await restore_backup(empty_database, cut)
    newer = altered(backup, lambda text: text.replace(b"0001_record.sql", b"9999_future.sql", 1))
    with pytest.raises(MigrationRefused, match="another version of the engine"):
        await restore_backup(empty_database, newer)
    with pytest.raises(BackupRefused, match="cannot be read"):
        await restore_backup(empty_database, backup.with_name("none.gz"))
    with pytest.raises(BackupRefused, match=r"cannot be read \(Not a gzipped file"):
        await restore_backup(empty_database, Path(__file__))


async def test_what_is_written_in_a_backup_is_never_run(filled, backup, empty_database):
    other = altered(
        backup, lambda text: text.replace(b"COPY intents", b"CREATE TABLE pwned ();\nCOPY intents", 1)
    )
    await restore_backup(empty_database, other)
    assert await rows(empty_database, "SELECT to_regclass('pwned') IS NULL") == [(True,)]


async def test_a_backup_of_an_older_schema_comes_to_the_one_of_today(
    tmp_path, filled, backup, empty_database
):
    """What the first three migrations made, taken then, restored now."""
    known = packaged_migrations()[:3]
    await migrate(empty_database, known)
    columns = (
        "signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action"
    )
    await rows(
        empty_database,
        f"INSERT INTO liquidations ({columns}, attempt, liquidated_size, liquidation_price, reward, fee,"
        " bad_debt, uncovered_bad_debt, outcome, landed, compute_units, created_at, timestamp)"
        " SELECT 's' || n, 'l', 'p', 'o', 'w', 'c', 'p', 'SOL/USD', 'full', 1, 1, 1, 1, 1,"
        " n, 0, 'confirmed', true, 1, now() - n * interval '1 hour', now() FROM generate_series(1, 100) AS n",
    )
    old = tmp_path / "old.sql.gz"
    await write_backup(empty_database, old)
    await restore_backup(filled, old, replace=True)
    assert await rows(filled, "SELECT count(*), sum(bad_debt) FROM liquidations") == [(100, 5050)]
    assert await migrate(filled) == packaged_migrations()[-1].version


async def test_an_existing_file_is_kept_and_a_failed_backup_leaves_none(filled, tmp_path):
    kept = tmp_path / "kept.gz"
    kept.write_text("precious")
    with pytest.raises(BackupRefused, match="exists and is kept"):
        await write_backup(filled, kept)
    assert kept.read_text() == "precious"
    with pytest.raises(BackupRefused, match="cannot be written"):
        await write_backup(filled, tmp_path / "no such folder" / "file.gz")
    with pytest.raises(DatabaseUnavailable):
        await write_backup("postgresql://nobody@/none?host=/nonexistent", tmp_path / "away.gz")
    assert sorted(each.name for each in tmp_path.iterdir() if ".gz" in each.name) == ["kept.gz"]


def environment(dsn: str, postgres) -> dict[str, str]:
    return os.environ | {
        "PGHOST": postgres.sockets,
        "PGUSER": postgres.role,
        "PGDATABASE": urlsplit(dsn).path[1:],
    }


async def shell(command: str, environ: dict[str, str]) -> None:
    done = await asyncio.create_subprocess_exec(
        "bash",
        "-o",
        "pipefail",
        "-c",
        command,
        env=environ,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    _, complaints = await done.communicate()
    assert (done.returncode, complaints) == (0, b"")


@pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql of the package postgresql-client")
async def test_psql_alone_restores_a_backup(filled, backup, empty_database, postgres):
    command = f"gunzip -c {backup} | psql -q -v ON_ERROR_STOP=1"
    await shell(command, environment(empty_database, postgres))
    assert await everything(empty_database) == await everything(filled)


async def test_the_guides_own_backup_and_restore_keep_every_row(filled, empty_database, postgres, tmp_path):
    """With the server's own programs: an older pg_dump than the server refuses it."""
    folder = find_binaries(ServerUser(None, None))
    path = f"PATH={folder}:$PATH"
    name = urlsplit(filled).path[1:]
    dump = f"{path}; pg_dump {name} | gzip > {tmp_path}/backup_20240115.sql.gz"
    await shell(dump, environment(filled, postgres))
    load = f"{path}; gunzip -c {tmp_path}/backup_20240115.sql.gz | psql -q -v ON_ERROR_STOP=1"
    await shell(load, environment(empty_database, postgres))
    assert await everything(empty_database) == await everything(filled)
    assert await migrate(empty_database) == packaged_migrations()[-1].version
