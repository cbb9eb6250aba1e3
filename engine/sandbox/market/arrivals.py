"""Traders who come while the market runs: each opens a position of its own at the prices of its tick."""

from __future__ import annotations

from collections.abc import Mapping

from engine.sandbox.market.actors import Venue
from engine.sandbox.market.behaviour import chance_per_tick
from engine.sandbox.market.roster import Holding
from engine.sandbox.market.seeds import generator
from engine.sandbox.market.transactions import opening_transaction, position_of, priority_microlamports


class Arrivals:
    """Opens so many positions a minute; nobody comes while there are `crowd` positions or more."""

    def __init__(self, venue: Venue, usual_per_minute: float, crowd: int) -> None:
        """The usual number comes as long as the behaviour asks for no other."""
        self._venue = venue
        self._usual_per_minute = usual_per_minute
        self._crowd = crowd
        self._sent = 0

    def on_tick(self, tick: int) -> None:
        """Let those come whose tick this is; whether they come depends on the tick alone."""
        rng = generator(self._venue.seed, f"arrival at {tick}")
        asked = self._venue.behaviour.openings_per_minute
        whole, rest = divmod(chance_per_tick(self._usual_per_minute if asked is None else asked), 1.0)
        for number in range(int(whole) + (rng.random() < rest)):
            if len(self._venue.roster) < self._crowd:
                self._open(tick, number)

    def figures(self) -> Mapping[str, int]:
        """How many openings were sent."""
        return {"openings_sent": self._sent}

    def _open(self, tick: int, number: int) -> None:
        venue, population = self._venue, self._venue.population
        newcomer = population.newcomer(tick, venue.marks_e6(), number)
        bid = priority_microlamports(generator(venue.seed, f"bid of newcomer {number} at {tick}"))
        address = position_of(population, newcomer, venue.program_id)
        venue.fund(population.trader_key(newcomer.trader).pubkey())
        venue.roster.expect(Holding(address, newcomer.trader, newcomer.symbol, newcomer.generation))
        venue.send(opening_transaction(population, newcomer, venue.blockhash(), bid, venue.program_id))
        self._sent += 1
