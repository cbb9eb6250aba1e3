"""A dry run and the real engine, as processes, at once, with one wallet on one program of a real sandbox."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from between import between
from world import World, until

from engine.api import wire
from engine.api.client import EngineClient
from engine.dry_run import STAND_IN

ENOUGH = 5


@asynccontextmanager
async def sandbox(home: Path) -> AsyncIterator[World]:
    """A sandbox in a crash; whoever fails here shows all logs."""
    world = World(home)
    try:
        # Prices change with every slot: on a busy machine two engines need time to decide on the same one.
        await world.start_sandbox("--slot-ms", "100")
        yield world
    except BaseException:
        _show_logs(home)
        raise
    finally:
        await world.end()


def _show_logs(home: Path) -> None:
    for log in sorted(home.glob("*.log")):
        print(f"--- {log.name}", *log.read_text().splitlines()[-40:], sep="\n")


async def test_a_dry_run_decides_as_the_real_engine_does_sends_nothing_and_touches_nothing_of_it(short_path):
    async with sandbox(short_path) as world, between(world.where["rpc_url"]) as (url, called):
        await _live_through_it(world, url, called)


# Quickly: a run without a key rehearses as the stand-in (test_rehearsals.py), and the name of a profile
# makes a dry run (tests/cli/test_bad_usage.py).
@pytest.mark.long
async def test_without_a_key_and_with_nothing_but_a_profile_of_such_a_name_it_is_a_dry_run(short_path):
    async with sandbox(short_path) as world, between(world.where["rpc_url"]) as (url, called):
        world.environment |= {"SOLANA_RPC_URL": url, "WALLET_PATH": ""}
        dry = await world.start("--profile", "night-dry-run", "--no-ui")
        async with EngineClient(world.socket.parents[1] / "night-dry-run" / "engine.sock") as client:
            snapshot = await until(lambda: _has_rehearsed(world, client, ENOUGH))
        assert (snapshot.wallet.address, snapshot.gate.state) == (str(STAND_IN), "running")
        await _end(dry)
        assert called["sendTransaction"] == 0
        assert (await world.rpc("getAccountInfo", str(STAND_IN)))["value"] is None
        assert await _tables(world) == {"dry_run"}


async def _live_through_it(world: World, url: str, called: Counter[str]) -> None:
    await world.rpc("sandboxHoldPrices", True)
    dry = await _start_dry_run(world, url)
    async with EngineClient(_dry_socket(world)) as client, EngineClient(world.socket) as real_client:
        await until(lambda: _is_ready(world, client))
        # Nothing of a real engine is there.
        assert [book.name.endswith("-dry-run") for book in _books(world)] == [True]
        assert await _tables(world) == {"dry_run"}
        real = await world.start("--no-ui")
        await until(lambda: _is_ready(world, real_client))
        assert len(_books(world)) == 2
        await world.rpc("sandboxHoldPrices", False)
        await until(lambda: _has_liquidated(world, real_client, ENOUGH))
        await _end(real)
        before = await _what_is_real(world)
        rehearsed = (await client.snapshot()).totals.rehearsed
        snapshot = await until(lambda: _has_rehearsed(world, client, rehearsed + ENOUGH))
    _says_so(snapshot)
    lines = await _status(world)
    assert lines[0].startswith("DRY RUN     nothing is sent; "), lines
    await _end(dry)
    assert await _what_is_real(world) == before
    assert called["sendTransaction"] == 0
    assert called["simulateTransaction"] >= ENOUGH
    await _recorded_only_what_is_true(world)


async def _start_dry_run(world: World, url: str) -> asyncio.subprocess.Process:
    """On a node of its own, with somebody who counts."""
    real_url = world.environment["SOLANA_RPC_URL"]
    world.environment["SOLANA_RPC_URL"] = url
    try:
        return await world.start("--dry-run", "--no-ui")
    finally:
        world.environment["SOLANA_RPC_URL"] = real_url


def _dry_socket(world: World) -> Path:
    return world.socket.parents[1] / "default-dry-run" / "engine.sock"


async def _end(engine: asyncio.subprocess.Process) -> None:
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), 60) == 0


async def _what_is_real(world: World) -> tuple[int, list[Any], str]:
    """What the wallet has on the chain, what stands in the real tables, and what in the real journal."""
    rows = await _query(
        world, "SELECT (SELECT count(*) FROM public.intents), (SELECT count(*) FROM public.liquidations)"
    )
    (real,) = (book for book in _books(world) if not book.name.endswith("-dry-run"))
    journal = sha256((real / "journal.db").read_bytes()).hexdigest()
    return await world.landed(), [tuple(row) for row in rows], journal


async def _is_ready(world: World, client: EngineClient) -> bool:
    snapshot = await world.snapshot(client)
    return snapshot is not None and snapshot.engine.phase == "ready"


def _books(world: World) -> list[Path]:
    return sorted((world.home / "state" / "liquidation-engine" / ".books").iterdir())


def _says_so(snapshot: wire.Snapshot) -> None:
    assert snapshot.engine.dry_run
    assert snapshot.engine.profile == "default-dry-run"
    assert (snapshot.totals.full, snapshot.totals.partial) == (0, 0)
    assert any(event.text.startswith("DRY RUN, would have liquidated ") for event in snapshot.events)
    assert not any(event.text.startswith("liquidated ") for event in snapshot.events)


async def _status(world: World) -> list[str]:
    process = await world.start("status", "--profile", "default-dry-run")
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    return out.decode().splitlines()


async def _has_rehearsed(world: World, client: EngineClient, count: int) -> wire.Snapshot | None:
    snapshot = await world.snapshot(client)
    return snapshot if snapshot is not None and snapshot.totals.rehearsed >= count else None


async def _has_liquidated(world: World, client: EngineClient, count: int) -> bool:
    snapshot = await world.snapshot(client)
    return snapshot is not None and snapshot.totals.full + snapshot.totals.partial >= count


async def _query(world: World, statement: str) -> list[Any]:
    connection = await asyncpg.connect(world.where["database_url"])
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


async def _tables(world: World) -> set[str]:
    rows = await _query(world, "SELECT schemaname FROM pg_tables WHERE tablename = 'liquidations'")
    return {row["schemaname"] for row in rows}


async def _recorded_only_what_is_true(world: World) -> None:
    assert await _tables(world) == {"dry_run", "public"}
    report = await world.report()
    assert report.findings == []
    assert report.chain.liquidation_transactions_landed == report.database.liquidations >= ENOUGH
    dry = await _query(world, "SELECT * FROM dry_run.liquidations")
    assert not any(row["landed"] or row["error_message"] is None for row in dry)
    would = [row for row in dry if row["outcome"] == "dry run"]
    assert len(would) >= ENOUGH
    assert any(row["liquidated_size"] > 0 for row in would)
    assert all(row["fee"] >= 5_000 for row in would)
    # Whatever the real one signed the dry one signed too, and from the same inputs the same.
    real_intents = await _intents(world, "public")
    dry_intents = await _intents(world, "dry_run")
    assert {key[0] for key in real_intents} <= {key[0] for key in dry_intents}
    of_both = real_intents.keys() & dry_intents.keys()
    assert of_both
    assert {key: real_intents[key] for key in of_both} == {key: dry_intents[key] for key in of_both}


async def _intents(world: World, schema: str) -> dict[tuple[str, str, str], tuple[str, int]]:
    """What was decided, by the inputs of the decision: position, its size, the price."""
    rows = await _query(world, f"SELECT position_pubkey, action, amount, decision FROM {schema}.intents")
    found = {}
    for row in rows:
        decision = json.loads(row["decision"])
        del decision["position"]["slot"]  # when each of the two read the account is its own affair
        key = (row["position_pubkey"], str(decision["position"]), decision["price"]["price_e6"])
        found[key] = (row["action"], int(row["amount"]))
    return found
