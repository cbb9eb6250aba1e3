"""What the traders' positions are like: the distributions that a population is drawn from, as settings.

The defaults are a leveraged market as one finds it: mostly low leverage with a tail to 1000x, sizes over four
orders of magnitude, two longs to one short.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.protocol.addresses import BTC_USD, ETH_USD, FEEDS, SOL_USD
from engine.protocol.margin import MAX_LEVERAGE

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Usd = Annotated[float, Field(ge=1, le=100_000_000)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class LeverageTier(_Section):
    """A range of leverages, both ends included, and how often one comes from it relative to other tiers."""

    lowest: Annotated[int, Field(ge=1, le=MAX_LEVERAGE)]
    highest: Annotated[int, Field(ge=1, le=MAX_LEVERAGE)]
    weight: Weight

    @model_validator(mode="after")
    def _in_order(self) -> LeverageTier:
        if self.lowest > self.highest:
            raise ValueError("lowest must not be above highest")
        return self


class SizeDistribution(_Section):
    """The value of a position at its entry: log-normal, cut off at both limits. In USD but for `sigma`."""

    median_usd: Usd = 5_000.0
    sigma: Annotated[float, Field(ge=0, le=5)] = 1.1
    lowest_usd: Usd = 50.0
    highest_usd: Usd = 1_000_000.0

    @model_validator(mode="after")
    def _in_order(self) -> SizeDistribution:
        if not self.lowest_usd <= self.median_usd <= self.highest_usd:
            raise ValueError("median_usd must lie between lowest_usd and highest_usd")
        return self


class HealthLines(_Section):
    """Every trader has a line of health, uniform between these, to which the first margin is filled up."""

    lowest: Annotated[float, Field(gt=1, le=100)] = 1.04
    highest: Annotated[float, Field(gt=1, le=100)] = 1.4

    @model_validator(mode="after")
    def _in_order(self) -> HealthLines:
        if self.lowest > self.highest:
            raise ValueError("lowest must not be above highest")
        return self


class PopulationSettings(_Section):
    """The distributions of a population. Weights are relative to each other, shares are between 0 and 1."""

    symbols: dict[str, Weight] = {SOL_USD.symbol: 45.0, BTC_USD.symbol: 30.0, ETH_USD.symbol: 25.0}
    """How often each symbol is traded."""

    leverage: tuple[LeverageTier, ...] = (
        LeverageTier(lowest=1, highest=5, weight=34.0),
        LeverageTier(lowest=6, highest=10, weight=25.0),
        LeverageTier(lowest=11, highest=20, weight=21.0),
        LeverageTier(lowest=21, highest=50, weight=11.0),
        LeverageTier(lowest=51, highest=100, weight=5.0),
        LeverageTier(lowest=101, highest=500, weight=2.7),
        LeverageTier(lowest=501, highest=1000, weight=1.3),
    )
    """Within a tier uniform, and every second one a round number that a trading screen offers."""

    size: SizeDistribution = SizeDistribution()

    deployed_share: Share = 0.30
    """Positions opened by `open_position`: always long, one for each trader and symbol."""

    long_share: Share = 0.5
    """Longs among the positions opened by `create_position`, which can be either."""

    entry_deviation_times_leverage: Annotated[float, Field(ge=0, le=100)] = 0.55
    """The deviation of entry prices from the mark price is this by leverage: what was entered farther away
    with high leverage is gone already."""

    highest_entry_deviation: Annotated[float, Field(ge=0, le=0.1)] = 0.03

    mean_surplus: Annotated[float, Field(gt=0, le=100)] = 0.08
    """How much more than the initial margin is deposited on average, as a part of it; exponential."""

    health_lines: HealthLines = HealthLines()

    traders_per_hundred_positions: Annotated[int, Field(ge=1, le=100)] = 60
    """Below 100 some traders own several positions."""

    @field_validator("symbols")
    @classmethod
    def _have_feeds(cls, symbols: dict[str, float]) -> dict[str, float]:
        unknown = [symbol for symbol in symbols if symbol not in FEEDS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} has no feed, choose from {', '.join(FEEDS)}")
        if not sum(symbols.values()) > 0:
            raise ValueError("at least one symbol needs a weight above 0")
        return symbols

    @field_validator("leverage")
    @classmethod
    def _have_weight(cls, tiers: tuple[LeverageTier, ...]) -> tuple[LeverageTier, ...]:
        if not sum(tier.weight for tier in tiers) > 0:
            raise ValueError("at least one tier needs a weight above 0")
        return tiers
