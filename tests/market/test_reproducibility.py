"""Sandboxes of equal seed are alike to the byte, prices and positions, with everybody acting."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from market_town import Town

from engine.protocol.addresses import FEEDS
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.scenarios import Scenario

BUSY = Behaviour(
    openings_per_minute=60.0,
    closings_per_minute=60.0,
    top_ups_per_minute=120.0,
    rival_share=0.5,
    congestion=0.2,
)


def run(seed: int, scenario: Scenario, slots: int, **further: Any) -> tuple[list[object], Town]:
    """A market's prices at every slot, and digests of its positions at every tenth."""
    town = Town(scenario, seed=seed, positions=80, genesis_positions=30, behaviour=BUSY, **further).open()
    town.market.start()
    seen: list[object] = []
    for slot in range(slots):
        town.slots(1)
        seen.append([town.feed(symbol) for symbol in FEEDS])
        if slot % 10 == 9:
            seen.append(
                [
                    (address, account.lamports, hashlib.sha256(account.data).digest())
                    for address, account in town.position_accounts().items()
                ]
            )
    return seen, town


@pytest.mark.parametrize("scenario", [Scenario.CRASH, Scenario.TREND])
def test_equal_seeds_give_equal_prices_and_positions_and_another_seed_gives_others(
    scenario: Scenario,
) -> None:
    (first, one), (again, two), (other, _) = (run(seed, scenario, 60) for seed in (3, 3, 4))
    for here, there in zip(first, again, strict=True):
        assert here == there
    assert one.call("sandboxMarket") == two.call("sandboxMarket")
    done = one.call("sandboxMarket")["done"]
    assert min(done[name] for name in ("openings_sent", "closings_sent", "top_ups_sent", "rival_sent")) >= 3
    assert done["congestion_sent"] > 100
    for here, there in zip(first, other, strict=True):
        assert here != there


def test_the_actions_of_participants_do_not_change_the_prices() -> None:
    busy, _ = run(5, Scenario.CALM, 40)
    quiet = Town(Scenario.CALM, seed=5, positions=80, behaviour=Behaviour(openings_per_minute=0.0)).open()
    quiet.market.start()
    prices = []
    for _ in range(40):
        quiet.slots(1)
        prices.append([quiet.feed(symbol).price for symbol in FEEDS])
    assert prices == [[f.price for f in feeds] for feeds in busy if hasattr(feeds[0], "price")]
