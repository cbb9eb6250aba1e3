"""Those who act on the market while it runs, and what each of them is given to see and to do.

An actor is called once a tick, after the prices of that tick are published; a tick is one slot. What it does
depends on the seed, the tick and the chain alone, so that runs of equal seeds are equal. It acts by signed
transactions, which wait in the leader's pool like everybody's. New positions come from `arrivals`;
`traders` add collateral and close; `rival` liquidates; `congestion` fills blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from solders.hash import Hash
from solders.pubkey import Pubkey

from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.population import Population
from engine.sandbox.market.roster import Roster


class Actor(Protocol):
    """One participant, or one kind of participants."""

    def on_tick(self, tick: int) -> None:
        """Act on the prices of a tick; they are on the ledger."""
        ...

    def figures(self) -> Mapping[str, int]:
        """What it has done so far, by names that no other actor uses; shown by `sandboxMarket`."""
        ...


@dataclass(slots=True)
class Venue:
    """What an actor is given; its `behaviour` may be another one at another tick.

    `send` takes signed wire bytes to the leader's pool; what is refused is counted and never raised.
    `fund` has the faucet fill an address up to a trader's usual balance when it holds little, by a
    transaction that lands in its own time. `marks_e6` are the true prices by symbol in 1e-6 USD, and
    `blockhash` is the newest. `program_id` is whose positions these are.
    """

    ledger: Ledger
    roster: Roster
    population: Population
    behaviour: Behaviour
    seed: int
    send: Callable[[bytes], None]
    fund: Callable[[Pubkey], None]
    marks_e6: Callable[[], Mapping[str, int]]
    blockhash: Callable[[], Hash]
    program_id: Pubkey
