"""Prices that move slowly and for long: a trend with noise, and a fall that grinds on for many minutes.

trend  a steady drift, up or down for all symbols alike (SOL 0.35 to 0.5 % a minute, ETH 0.28 to 0.4 %,
       BTC 0.2 to 0.3 %), under walks half again as wild as in a calm market. Where the price has doubled or
       halved the trend turns.
grind  a staircase downwards for 20 to 30 minutes (SOL 26 to 32 %, ETH 21 to 27 %, BTC 16 to 21 %): each step
       falls for about 34 s and then gives back a part of it. It lies at the bottom for five minutes, climbs
       back in twice the time of the fall, and then grinds down again. No tick moves 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from random import Random

from engine.sandbox.market.behaviour import TICKS_PER_MINUTE
from engine.sandbox.market.prices import Instrument, Wobble, interpolate, price_raw
from engine.sandbox.market.seeds import generator

_TREND_WILDNESS = 1.5
_TREND_TURNS_AT = math.log(2)
_GRIND_WILDNESS = 1.2
_GRIND_FALL_TICKS = (20 * TICKS_PER_MINUTE, 30 * TICKS_PER_MINUTE)
_GRIND_BOTTOM_TICKS = 5 * TICKS_PER_MINUTE
_GRIND_STEP_TICKS = (90, 150)
_GRIND_FALLING_SHARE = 0.7  # of a step's time; the rest of it rebounds
_GRIND_REBOUND = (0.15, 0.35)  # of a step's fall


class Direction(StrEnum):
    """Where a trend goes."""

    UP = "up"
    DOWN = "down"


def drawn_direction(seed: int) -> Direction:
    """The direction that a seed gives a trend."""
    return generator(seed, "direction of the trend").choice(list(Direction))


class TrendPath:
    """A price that drifts steadily, and turns where it has doubled or halved."""

    def __init__(self, seed: int, instrument: Instrument, direction: Direction) -> None:
        self._start_raw = instrument.start_raw
        self._wobble = Wobble(seed, instrument, _TREND_WILDNESS)
        rng = generator(seed, f"pace of the trend of {instrument.symbol}")
        pace = rng.uniform(*instrument.trend_per_minute) / TICKS_PER_MINUTE
        self._step = pace if direction is Direction.UP else -pace
        self._drift = 0.0

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        return self._start_raw

    def advance(self) -> int:
        """The price of the next tick."""
        if abs(self._drift + self._step) > _TREND_TURNS_AT:
            self._step = -self._step
        self._drift += self._step
        return price_raw(self._start_raw, self._drift + self._wobble.advance())


class GrindPath:
    """A price that goes down a long staircase, and after a long rest up again."""

    def __init__(self, seed: int, instrument: Instrument) -> None:
        self._start_raw = instrument.start_raw
        self._wobble = Wobble(seed, instrument, _GRIND_WILDNESS)
        depth = generator(seed, f"depth of {instrument.symbol}").uniform(*instrument.grind_depth)
        self._log_floor = math.log(1 - depth)
        self._shape = _staircase(generator(seed, "steps of the grind"))
        self._tick = 0

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        return self._start_raw

    def advance(self) -> int:
        """The price of the next tick."""
        self._tick = (self._tick + 1) % self._shape[-1][0]
        share = interpolate(self._shape, self._tick)
        return price_raw(self._start_raw, share * self._log_floor + self._wobble.advance())


def _staircase(rng: Random) -> Sequence[tuple[int, float]]:
    """(tick, share of the fall) of one way down and back up."""
    fall_ticks = rng.randint(*_GRIND_FALL_TICKS)
    shape, tick = [(0, 0.0)], 0
    while tick + _GRIND_STEP_TICKS[1] < fall_ticks:
        step_ticks = rng.randint(*_GRIND_STEP_TICKS)
        came_from, reached = shape[-1][1], (tick + step_ticks) / fall_ticks
        rebound = (reached - came_from) * rng.uniform(*_GRIND_REBOUND)
        shape.append((tick + round(step_ticks * _GRIND_FALLING_SHARE), reached))
        tick += step_ticks
        shape.append((tick, reached - rebound))
    shape.append((fall_ticks, 1.0))
    shape.append((fall_ticks + _GRIND_BOTTOM_TICKS, 1.0))
    shape.append((3 * fall_ticks + _GRIND_BOTTOM_TICKS, 0.0))
    return shape
