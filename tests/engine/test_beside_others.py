"""The real engine in a market where others act: a rival takes positions, owners rescue them or leave."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from world import World, until

from engine.api.client import EngineClient

BEHAVIOUR = {
    "rival_share": 0.5,
    "rival_bid_microlamports": 200_000,
    "top_ups_per_minute": 6_000.0,
    "closings_per_minute": 600.0,
    "openings_per_minute": 300.0,
    "congestion": 0.02,
}


async def done(world: World) -> dict[str, int]:
    """What the participants have done so far."""
    described: dict[str, Any] = await world.rpc("sandboxMarket")
    return dict(described["done"])


# That the promises hold beside a rival and busy owners is shown quickly in tests/simulation, what a position
# taken first becomes in test_precedence.py, and that a whole engine keeps them in test_on_the_sandbox.py.
@pytest.mark.long
async def test_beside_a_rival_and_busy_owners_the_engine_keeps_every_promise(short_path):
    world = World(short_path)
    try:
        settings = [word for name, value in BEHAVIOUR.items() for word in ("--behaviour", f"{name}={value}")]
        await world.start_sandbox(*settings)
        await world.rpc("sandboxHoldPrices", True)  # nobody is ahead of the engine
        engine = await world.start("--no-ui")
        async with EngineClient(world.socket) as client:
            await until(lambda: _is_ready(world, client))
            await world.rpc("sandboxHoldPrices", False)
            await _competes(world, client)
            await _comes_to_rest(world, client)
        engine.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(engine.wait(), 40) == 0
        await _kept_its_promises(world)
    except BaseException:
        for log in sorted(short_path.glob("*.log")):
            print(f"--- {log.name}", *log.read_text().splitlines()[-40:], sep="\n")
        raise
    finally:
        await world.end()


async def _is_ready(world: World, client: EngineClient) -> bool:
    snapshot = await world.snapshot(client)
    return snapshot is not None and snapshot.engine.phase == "ready"


async def _competes(world: World, client: EngineClient) -> None:
    """Both liquidate, and owners act."""

    async def everybody_has_acted() -> bool:
        figures = await done(world)
        snapshot = await world.snapshot(client)
        ours = 0 if snapshot is None else snapshot.totals.full + snapshot.totals.partial
        acted = [figures.get(name, 0) for name in ("rival_won", "top_ups_sent", "closings_sent")]
        return ours >= 5 and min(acted) >= 5

    await until(everybody_has_acted)


async def _comes_to_rest(world: World, client: EngineClient) -> None:
    """Once nobody else acts and prices stand still, nothing is left to do, and nothing was given up."""
    await world.rpc("sandboxMarket", dict.fromkeys(BEHAVIOUR, 0.0) | {"rival_bid_microlamports": 0})
    await world.rpc("sandboxHoldPrices", True)

    async def nothing_is_left_to_do() -> bool:
        snapshot = await client.snapshot()
        return snapshot.book.liquidatable == 0 and not snapshot.queue

    await until(nothing_is_left_to_do)
    assert (await client.snapshot()).failed == []


async def _kept_its_promises(world: World) -> None:
    report = await world.report()
    assert report.findings == []
    violations = report.violations
    assert (
        violations.healthy_submitted,
        violations.submitted_twice,
        violations.landed_not_recorded,
        violations.recorded_not_landed,
    ) == (0, 0, 0, 0)
    assert report.chain.liquidation_transactions_landed == report.database.liquidations >= 5
    assert report.database.open_intents == 0
