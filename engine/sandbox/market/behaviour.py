"""How the participants of the market behave while it runs: how often they act, and who competes with whom.

A minute is 150 ticks of market time, whatever the wall clock says: with slots of 400 ms both are the same.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

TICKS_PER_MINUTE = 150

PerMinute = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Behaviour(BaseModel):
    """The settings of everybody who acts on the market; the defaults are an ordinary day without a rival."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    openings_per_minute: PerMinute | None = None
    """New positions; None is what suits the scenario (few while prices fall)."""

    closings_per_minute: PerMinute = 1.0
    """Positions that their traders close at will."""

    top_ups_per_minute: PerMinute = 6.0
    """How often, at most, traders whose health is below their own line add collateral."""

    rival_share: Share = 0.0
    """The share of liquidatable positions that a competing liquidator tries to take; 0 is no rival."""

    rival_delay_slots: Annotated[int, Field(ge=0, le=100)] = 0
    """How many slots after a position became liquidatable the rival sends; 0 is in the same slot."""

    rival_bid_microlamports: Annotated[int, Field(ge=0, le=10_000_000)] = 20_000
    """What the rival bids for a compute unit."""

    congestion: Share = 0.0
    """How much of each block's room for writes to the insurance fund strangers take; 0 is none, 1 is all."""


def chance_per_tick(per_minute: float) -> float:
    """How often something happens in one tick that happens so often in a minute; below 1 it is a chance."""
    return per_minute / TICKS_PER_MINUTE
