"""The real engine on a real sandbox whose second source lies: held, seen, nothing sent, no promise broken."""

from __future__ import annotations

import asyncio
import signal

from world import World, until

from engine.api import wire
from engine.api.client import EngineClient
from engine.protocol.addresses import FEEDS

KEY = "sesame-open-1234"


async def test_while_the_second_source_lies_everything_is_held_and_when_it_stops_everything_goes_on(
    short_path,
) -> None:
    world = World(short_path)
    world.environment["HERMES_API_KEY"] = KEY
    try:
        await _live_through_it(world)
    except BaseException:
        for log in sorted(short_path.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-40:], sep="\n")
        raise
    finally:
        await world.end()
    said = (short_path / "no-ui.log").read_text()
    assert "sources diverged" in said
    assert KEY not in said


async def _live_through_it(world: World) -> None:
    await world.start_sandbox("--hermes-key", KEY)
    engine = await world.start("--no-ui")
    async with EngineClient(world.socket) as client:
        await until(lambda: _sees_both_sources(world, client))
        await _liquidates(client)
        await _trouble(world, {"hermes": {"bias_bps": dict.fromkeys(FEEDS, -300)}})
        await until(lambda: _holds_everything(client))
        await world.pass_slots(10)  # what was signed before the lie has landed
        before = await world.landed()
        await world.pass_slots(60)
        assert await world.landed() == before
        assert await _holds_everything(client)
        await _trouble(world, {"hermes": None})
        await until(lambda: _lets_everything_go(client))
        await until(lambda: _more_landed(world, before))
    engine.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(engine.wait(), 40) == 0
    report = await world.report()
    assert report.findings == []
    assert report.chain.liquidation_transactions_landed == report.database.liquidations > 0
    violations = report.violations
    assert (
        violations.healthy_submitted,
        violations.submitted_twice,
        violations.landed_not_recorded,
        violations.recorded_not_landed,
    ) == (0, 0, 0, 0)


async def _trouble(world: World, order: object) -> None:
    assert await world.rpc("sandboxTrouble", order)


async def _sees_both_sources(world: World, client: EngineClient) -> bool:
    snapshot = await world.snapshot(client)
    return (
        snapshot is not None
        and snapshot.oracle is not None
        and snapshot.oracle.second_source == "ok"
        and all(price.second_e6 is not None for price in snapshot.prices)
    )


async def _liquidates(client: EngineClient) -> None:
    async def has_liquidated() -> bool:
        totals = (await client.snapshot()).totals
        return totals.full + totals.partial > 0

    await until(has_liquidated)


def _held(snapshot: wire.Snapshot) -> list[str]:
    return [each for each in snapshot.engine.degraded if each.endswith(" held: sources diverged")]


async def _holds_everything(client: EngineClient) -> bool:
    snapshot = await client.snapshot()
    rows = [price.verdict == "sources diverged" and price.held_since_ns for price in snapshot.prices]
    return all(rows) and len(_held(snapshot)) == len(FEEDS)


async def _lets_everything_go(client: EngineClient) -> bool:
    snapshot = await client.snapshot()
    told = " ".join(event.text for event in snapshot.events)
    assert snapshot.oracle is not None
    return (
        not _held(snapshot)
        and "was sources diverged" in told
        and all(snapshot.oracle.held_ms.get(symbol, 0) > 0 for symbol in FEEDS)
    )


async def _more_landed(world: World, before: int) -> bool:
    return await world.landed() > before
