"""`db` as an operator gives it: on the database of the settings, and on the server in the box."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

from engine.paths import profile_paths
from engine.store.embedded import running_dsn


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    async def work() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(work())


ROWS = """
INSERT INTO liquidations (
    signature, liquidation_id, position_pubkey, owner, liquidator, cluster, program_id, symbol, action,
    attempt, liquidated_size, liquidation_price, reward, fee, bad_debt, uncovered_bad_debt, outcome, landed,
    compute_units, created_at, timestamp
)
SELECT 's' || n, 'l', 'p', 'o', 'w', 'c', 'p', 'SOL/USD', 'full', 1, 1, 1, 1, 1,
    CASE n WHEN 60 THEN 7 ELSE 0 END, 0, 'confirmed', true, 1,
    now() - n * interval '1 day', now() - n * interval '1 day'
FROM generate_series(1, 60) AS n
"""


@pytest.fixture
def dsn(home: Path, postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, named as an operator names it."""
    made = asyncio.run(postgres.new_database())
    monkeypatch.setenv("DATABASE_URL", made)
    return made


def test_of_a_database_without_a_record_nothing_is_pruned_and_the_way_to_one_is_told(dsn, command):
    told = command("db", "prune")
    assert told.code == 2
    assert "no record" in told.line
    assert "run `liquidation-engine db migrate`" in told.line


def test_a_record_is_made_told_copied_pruned_and_put_back(dsn, command, home):
    assert re.fullmatch(r"The schema is version \d+\n", command("db", "migrate").out)
    ask(dsn, ROWS)
    ask(dsn, "SELECT make_liquidations_days(current_date, current_date - 730)")
    told = command("db", "status").out
    assert re.search(r"migrations  \d+ applied, 0 for", told)
    assert re.search(r"history     6[0-9] days, the oldest \d{4}-\d\d-\d\d; 180 are kept", told)
    assert re.search(r"liquidations +60 rows", told)
    backup = home / "record.sql.gz"
    assert "Wrote" in command("db", "backup", str(backup)).out
    pruned = command("db", "prune", "--days", "30")
    assert re.search(r"^Pruned (29|30) days of attempts \(.*; kept 30 days", pruned.out)
    assert ask(dsn, "SELECT sum(bad_debt) FROM liquidations") == [(7,)]
    refusal = command("db", "restore", str(backup))
    assert (refusal.code, refusal.out) == (1, "")
    assert refusal.line.startswith("The database is not empty, it holds liquidations: back it up")
    assert "as many as it says" in command("db", "restore", str(backup), "--replace").out
    assert ask(dsn, "SELECT count(*), sum(bad_debt) FROM liquidations") == [(60, 7)]


def test_a_schema_of_another_engine_is_told_and_ends_with_1(dsn, command):
    command("db", "migrate")
    ask(dsn, "UPDATE schema_migrations SET sha256 = 'another' WHERE version = 2")
    told = command("db", "status")
    assert told.code == 1
    assert "0002_who_was_first.sql is not this program's: start the engine that applied it" in told.out
    assert "was edited after it was applied" in command("db", "migrate").line


@pytest.mark.parametrize("days", ["0", "-1", "731", "x"])
def test_days_out_of_range_are_refused_before_anything_is_done(dsn, command, days):
    assert command("db", "prune", "--days", days).code == 2
    assert ask(dsn, "SELECT to_regclass('liquidations') IS NULL") == [(True,)]


def test_the_server_in_the_box_is_started_for_a_command_and_ended_after_it(command, home):
    assert "The schema is version" in command("db", "migrate").out
    assert running_dsn(profile_paths().state / "postgres") is None
    told = command("db", "status").out
    assert "the one in the box" in told
    folder = re.search(r"^programs    (\S+)/psql", told, re.M)
    assert folder is not None
    assert (Path(folder[1]) / "pg_dump").exists()
    assert "PGDATABASE=liquidation_db" in told
