"""Every trouble that the sandbox can make, one after the other under a working engine: it lives, comes back,
and afterwards nothing is missing or twice.
"""

from __future__ import annotations

import json

import aiohttp
import pytest
from arena import Arena
from orders import ORDERS, Order, names
from waiting import until
from witness import nothing_is_missing_or_twice

from engine.api import wire

SECTIONS = sorted({name.split(".")[0] for name in names()} - {"seed"})
MOST_S = 90.0


def test_no_trouble_of_the_sandbox_is_forgotten_here() -> None:
    assert sorted(ORDERS) == sorted(names())
    assert len(ORDERS) > 40


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("section", SECTIONS)
async def test_each_trouble_is_lived_through_and_nothing_is_missing_or_twice(
    section: str, arena: Arena
) -> None:
    engine = await arena.begin(MAX_PRICE_AGE_S="5")
    mine = [name for name in ORDERS if name.startswith(section) or (section == "landing" and name == "seed")]
    for name in mine:
        await _live_through(arena, name, ORDERS[name])
    await arena.comes_to_rest()
    assert engine.is_alive
    await nothing_is_missing_or_twice(arena, at_least=len(mine))


async def _live_through(arena: Arena, name: str, order: Order) -> None:
    before = await arena.counters()
    wanted = json.loads(json.dumps(order.settings).replace("WALLET", str(arena.wallet)))
    await arena.trouble(wanted)
    seen = await _shows(arena, name, order, before)
    await arena.trouble(None)
    told = "; ".join(seen.engine.degraded) or "nothing degraded"
    print(f"{name}: {told}", flush=True)
    await arena.liquidates(3, MOST_S)


async def _ask_hermes(arena: Arena) -> None:
    """Somebody else's request, whose answer nobody wants."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{arena.where['hermes_url']}/v2/price_feeds") as response,
    ):
        await response.read()


async def _shows(arena: Arena, name: str, order: Order, before: dict[str, int]) -> wire.Snapshot:
    """The engine's snapshot once the trouble was really there."""
    counters: dict[str, int] = {}

    async def is_there() -> wire.Snapshot | None:
        if order.has_crowd:
            await _ask_hermes(arena)
        after = await arena.counters()
        counters.update({what: times - before.get(what, 0) for what, times in after.items()})
        seen = await arena.until("an answer of the engine", lambda seen: True)
        return seen if order.shows(counters, seen) else None

    found = await until(f"the trouble {name} shows", is_there, MOST_S, lambda: f"counted {counters}")
    assert found is not None
    return found
