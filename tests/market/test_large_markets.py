"""What a tick costs in a large market: what changed, and not what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from market_town import Town

from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.roster import Roster

BUSY = Behaviour(openings_per_minute=30.0, closings_per_minute=30.0, top_ups_per_minute=60.0, rival_share=0.5)
TICKS = 60


def work_in_ticks(positions: int) -> Counter[str]:
    """How often a busy market of that size asked the ledger for something, and wrote, in some ticks."""
    town = Town(positions=positions, genesis_positions=positions, behaviour=BUSY).open()
    town.market.start()
    counted: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Ledger, "account"),
            (Ledger, "set_account"),
            (Ledger, "program_accounts"),
            (Roster, "__iter__"),
        ):
            patch.setattr(owner, name, _counting(getattr(owner, name), name, counted))
        town.slots(TICKS)
    return counted


def _counting(original: Callable[..., Any], name: str, counted: Counter[str]) -> Callable[..., Any]:
    def counting(*arguments: Any, **named: Any) -> Any:
        counted[name] += 1
        return original(*arguments, **named)

    return counting


def test_a_tick_of_twenty_times_the_positions_asks_and_writes_no_more() -> None:
    small, large = work_in_ticks(200), work_in_ticks(4_000)
    assert small["set_account"] == large["set_account"] == 3 * TICKS
    assert 0 < large["account"] < 3 * small["account"]
    assert large["program_accounts"] == large["__iter__"] == 0
