"""The disk of the state fills up: nothing is sent without a durable intent, it is said, and it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from arena import Arena
from small_disk import SmallDisk
from waiting import until
from witness import nothing_is_missing_or_twice, open_intents

from engine.api import wire
from engine.api.client import EngineClient

SAYS = "disk"


@pytest.fixture
def disk(arena: Arena) -> Iterator[SmallDisk]:
    """The engine's state directory, on a disk of its own."""
    disk = SmallDisk(arena.state)
    yield disk
    disk.unmount()


async def _newest(arena: Arena) -> str:
    """The wallet's last transaction that landed."""
    options = {"commitment": "confirmed", "limit": 1}
    (row,) = await arena.rpc("getSignaturesForAddress", str(arena.wallet), options)
    return str(row["signature"])


async def _sends_nothing_while_the_market_goes_on(arena: Arena) -> None:
    """What was out when the disk filled has landed or expired; from then on nothing lands."""
    await arena.outlive_blockhashes()
    before = await _newest(arena)
    await arena.until("somebody is liquidatable", lambda seen: seen.book.liquidatable > 0)
    begun = await arena.height()

    async def slots_pass() -> bool:
        return await arena.height() > begun + 60

    await until("the market goes on", slots_pass)
    assert await _newest(arena) == before


async def _says_so(arena: Arena) -> wire.Snapshot:
    return await arena.until(
        "it says that its disk is full", lambda seen: any(SAYS in line for line in seen.engine.degraded)
    )


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("leave_bytes", [0, 100_000, 2_000_000])
async def test_on_a_full_disk_nothing_is_sent_it_is_said_and_with_room_again_it_goes_on(
    leave_bytes: int, arena: Arena, disk: SmallDisk
) -> None:
    engine = await arena.begin()
    for _ in range(2):
        await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
        disk.fill(leave_bytes)
        await _says_so(arena)
        await _sends_nothing_while_the_market_goes_on(arena)
        disk.empty()
        await arena.liquidates(5)
        await arena.until("it says no more of it", lambda seen: SAYS not in " ".join(seen.engine.degraded))
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_stop_on_a_full_disk_is_obeyed_at_once_and_kept_when_there_is_room(
    arena: Arena, disk: SmallDisk
) -> None:
    engine = await arena.begin()
    disk.fill()
    async with EngineClient(arena.paths.socket) as client:
        stopped = (await client.stop("the disk is full")).gate
    assert stopped.state == "stopped"
    await _sends_nothing_while_the_market_goes_on(arena)
    disk.empty()
    await arena.until("the stop is on disk", lambda seen: seen.gate.persisted)
    await engine.kill()
    await arena.start_engine()
    seen = await arena.ready()
    assert (seen.gate.state, seen.gate.reason) == ("stopped", "the disk is full")
    async with EngineClient(arena.paths.socket) as client:
        await client.resume("there is room", seen.gate.version)
    await arena.liquidates(5)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_an_engine_killed_on_a_full_disk_is_started_there_sends_nothing_and_goes_on_with_room(
    arena: Arena, disk: SmallDisk
) -> None:
    engine = await arena.begin()
    await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
    disk.fill()
    await engine.kill()
    assert open_intents(arena) > 0
    second = await arena.start_engine()

    async def ended_or_up() -> str:
        if not second.is_alive:
            return second.said.splitlines()[-1]
        seen = await arena.snapshot()
        return seen.engine.phase if seen is not None and seen.engine.phase == "ready" else ""

    outcome = await until("it starts, or says why not", ended_or_up, 90)
    print(f"started on a full disk: {outcome}")
    if second.is_alive:
        await _sends_nothing_while_the_market_goes_on(arena)
        disk.empty()
    else:
        assert SAYS in outcome
        assert outcome.startswith("liquidation-engine: ")
        assert second.process.returncode == 2
        disk.empty()
        await arena.start_engine()
    await arena.ready()
    await arena.liquidates(5)
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)
