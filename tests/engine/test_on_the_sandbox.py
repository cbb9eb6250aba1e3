"""The real engine on a real sandbox, as processes: it liquidates, stops, dies, stays stopped, goes on."""

from __future__ import annotations

import asyncio
import signal

from world import World, until

from engine.api import wire
from engine.api.client import EngineClient


async def test_a_real_engine_liquidates_stops_dies_stays_stopped_goes_on_and_kept_every_promise(short_path):
    world = World(short_path)
    try:
        await _live_through_it(world)
    except BaseException:
        for log in sorted(short_path.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-40:], sep="\n")
        raise
    finally:
        await world.end()


async def _live_through_it(world: World) -> None:
    sandbox = await world.start_sandbox()
    engine = await world.start("--no-ui")
    async with EngineClient(world.socket) as client:
        await _liquidates(world, client)
        stopped = await client.stop("the test says so")
        assert (stopped.gate.state, stopped.gate.persisted) == ("stopped", True)
        await _nothing_more_lands(world, client, stopped)
        engine.kill()
        await engine.wait()
        assert sandbox.returncode is None
        engine = await world.start("--no-ui")
        ready = await until(lambda: _ready(world, client))
        assert (ready.gate.state, ready.gate.reason) == ("stopped", "the test says so")
        await _nothing_more_lands(world, client, stopped)
        resumed = await client.resume("the test goes on", ready.gate.version)
        assert resumed.gate.state == "running"
        await _liquidates(world, client)
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), 40) == 0
    assert sandbox.returncode is None
    await _kept_its_promises(world)
    assert sandbox.stdin is not None
    sandbox.stdin.close()
    assert await asyncio.wait_for(sandbox.wait(), 20) == 0


async def _ready(world: World, client: EngineClient) -> wire.Snapshot | None:
    snapshot = await world.snapshot(client)
    return snapshot if snapshot is not None and snapshot.engine.phase == "ready" else None


async def _liquidates(world: World, client: EngineClient) -> None:
    async def has_liquidated() -> bool:
        snapshot = await world.snapshot(client)
        return snapshot is not None and snapshot.totals.full + snapshot.totals.partial > 0

    await until(has_liquidated)


async def _nothing_more_lands(world: World, client: EngineClient, stopped: wire.Acknowledged) -> None:
    """What was out at the stop has landed a few slots later; from then on the count must stand still."""
    await world.pass_slots(10)
    before = await world.landed()
    assert before > 0

    async def market_goes_on() -> bool:
        snapshot = await client.snapshot()
        assert snapshot.gate.version == stopped.gate.version
        return snapshot.book.liquidatable > 0

    await until(market_goes_on)
    await world.pass_slots(40)
    assert await world.landed() == before


async def _kept_its_promises(world: World) -> None:
    report = await world.report()
    assert report.findings == []
    assert report.chain.liquidation_transactions_landed > 0
    assert report.chain.liquidation_transactions_landed == report.database.liquidations
    assert report.database.open_intents == 0
    violations = report.violations
    assert (
        violations.healthy_submitted,
        violations.submitted_twice,
        violations.landed_not_recorded,
        violations.recorded_not_landed,
    ) == (0, 0, 0, 0)
