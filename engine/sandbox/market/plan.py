"""What a market is made of: its seed, its prices, and who trades on it and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.population_settings import PopulationSettings
from engine.sandbox.market.prices import PricePath
from engine.sandbox.market.scenarios import Scenario

SIGNED_UNLESS_ASKED = 2_000  # positions; those beyond are there when the chain begins


@dataclass(frozen=True, slots=True)
class MarketPlan:
    """Two markets of equal plans, each with paths of its own, behave alike.

    Of the `positions`, the last `genesis_positions` are written when the chain begins, the others are opened
    by signed transactions; without a number, the first 2,000 are signed.
    """

    seed: int
    positions: int
    scenario: Scenario
    paths: Mapping[str, PricePath]
    genesis_positions: int | None = None
    population: PopulationSettings = field(default_factory=PopulationSettings)
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        if not 0 <= (self.genesis_positions or 0) <= self.positions:
            raise ValueError("genesis_positions must not be more than positions")

    @property
    def signed_positions(self) -> int:
        """How many positions of the start are opened by signed transactions."""
        if self.genesis_positions is None:
            return min(self.positions, SIGNED_UNLESS_ASKED)
        return self.positions - self.genesis_positions
