"""Price processes: what each symbol costs at each tick of a calm or a crashing market.

A tick is one slot by default and 400 ms of market time. Paths are made of floats and published as integers
of 1e-8 USD; the price at tick n depends on the seed, the scenario and n, never on the wall clock.

calm   two mean-reverting walks of the logarithm on top of each other: one that forgets within about 40 s
       (a typical deviation of 0.08 to 0.15 %) and one that forgets within about an hour (0.6 to 1 %).
       Six tenths of a symbol's variance is a shock that all symbols share.
crash  three seconds of calm, then a fall within 27 s whose depth the seed draws (SOL 35 to 40 %, ETH 25 to
       30 %, BTC 20 to 25 %), broken by two rebounds; then a slow recovery of about half of it in ten minutes.
       The walks are four times as wild as in a calm market.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from random import Random
from typing import Protocol

from engine.protocol.addresses import BTC_USD, ETH_USD, SOL_USD
from engine.sandbox.market.seeds import generator

EXPONENT = -8
RAW_PER_USD = 10**-EXPONENT

_SHARED_WEIGHT = math.sqrt(0.6)
_OWN_WEIGHT = math.sqrt(0.4)
_FAST_FORGETTING = 1 / 100  # of the deviation, per tick
_SLOW_FORGETTING = 1 / 10_000
_CRASH_WILDNESS = 4.0

# (tick, share of the fall): the shape that every symbol of a crash follows, in logarithms.
_CRASH_SHAPE = (
    (8, 0.0),
    (20, 0.32),
    (25, 0.20),
    (38, 0.64),
    (45, 0.48),
    (60, 0.94),
    (68, 1.0),
    (82, 0.84),
    (110, 0.92),
    (1500, 0.45),
)
_TICK_JITTER = 2
_SHARE_JITTER = 0.03


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the market knows of one symbol. Fractions are of the price; `start_raw` is in 1e-8 USD.

    The pairs are the least and the most that the seed may draw.
    """

    symbol: str
    start_raw: int
    fast_deviation: float
    slow_deviation: float
    crash_depth: tuple[float, float]
    flash_depth: tuple[float, float]
    grind_depth: tuple[float, float]
    gap_share: tuple[float, float]
    trend_per_minute: tuple[float, float]


INSTRUMENTS: dict[str, Instrument] = {
    instrument.symbol: instrument
    for instrument in (
        Instrument(
            SOL_USD.symbol,
            150 * RAW_PER_USD,
            fast_deviation=0.0015,
            slow_deviation=0.010,
            crash_depth=(0.36, 0.40),
            flash_depth=(0.21, 0.245),
            grind_depth=(0.26, 0.32),
            gap_share=(0.16, 0.195),
            trend_per_minute=(0.0035, 0.0050),
        ),
        Instrument(
            BTC_USD.symbol,
            65_000 * RAW_PER_USD,
            fast_deviation=0.0008,
            slow_deviation=0.006,
            crash_depth=(0.20, 0.24),
            flash_depth=(0.155, 0.19),
            grind_depth=(0.16, 0.21),
            gap_share=(0.125, 0.15),
            trend_per_minute=(0.0020, 0.0030),
        ),
        Instrument(
            ETH_USD.symbol,
            3_200 * RAW_PER_USD,
            fast_deviation=0.0010,
            slow_deviation=0.008,
            crash_depth=(0.25, 0.29),
            flash_depth=(0.18, 0.22),
            grind_depth=(0.21, 0.27),
            gap_share=(0.14, 0.175),
            trend_per_minute=(0.0028, 0.0040),
        ),
    )
}


class PricePath(Protocol):
    """One symbol's prices, tick by tick, in 1e-8 USD."""

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        ...

    def advance(self) -> int:
        """The price of the next tick; always positive."""
        ...


class Wobble:
    """The deviation of the logarithm of a calm price: a fast and a slow mean-reverting walk."""

    def __init__(self, seed: int, instrument: Instrument, wildness: float = 1.0) -> None:
        # Every symbol draws the shared shocks from a generator of the same seed, so that paths stay
        # independent objects and yet move together.
        self._shared = generator(seed, "moves of the whole market")
        self._own = generator(seed, f"moves of {instrument.symbol}")
        self._fast_step = wildness * instrument.fast_deviation * math.sqrt(2 * _FAST_FORGETTING)
        self._slow_step = wildness * instrument.slow_deviation * math.sqrt(2 * _SLOW_FORGETTING)
        self._fast = 0.0
        self._slow = 0.0

    def advance(self) -> float:
        """The deviation at the next tick."""
        self._fast += self._fast_step * self._shock() - _FAST_FORGETTING * self._fast
        self._slow += self._slow_step * self._shock() - _SLOW_FORGETTING * self._slow
        return self._fast + self._slow

    def _shock(self) -> float:
        return _SHARED_WEIGHT * self._shared.gauss(0, 1) + _OWN_WEIGHT * self._own.gauss(0, 1)


class CalmPath:
    """A price that wobbles around where it started."""

    def __init__(self, seed: int, instrument: Instrument) -> None:
        self._start_raw = instrument.start_raw
        self._wobble = Wobble(seed, instrument)

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        return self._start_raw

    def advance(self) -> int:
        """The price of the next tick."""
        return price_raw(self._start_raw, self._wobble.advance())


class CrashPath:
    """A price that falls steeply, rebounds twice on the way, and recovers slowly, wobbling all the time."""

    def __init__(self, seed: int, instrument: Instrument) -> None:
        self._start_raw = instrument.start_raw
        self._wobble = Wobble(seed, instrument, _CRASH_WILDNESS)
        depth = generator(seed, f"depth of {instrument.symbol}").uniform(*instrument.crash_depth)
        self._log_floor = math.log(1 - depth)
        self._shape = _jittered_shape(generator(seed, "shape of the crash"))
        self._tick = 0

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        return self._start_raw

    def advance(self) -> int:
        """The price of the next tick."""
        self._tick += 1
        share = interpolate(self._shape, self._tick)
        return price_raw(self._start_raw, share * self._log_floor + self._wobble.advance())


def _jittered_shape(rng: Random) -> list[tuple[int, float]]:
    """The crash's shape with its turning points moved a little; the start and the bottom stay."""
    shape: list[tuple[int, float]] = []
    for tick, share in _CRASH_SHAPE:
        if share in (0.0, 1.0):
            shape.append((tick, share))
        else:
            shape.append(
                (tick + rng.randint(-_TICK_JITTER, _TICK_JITTER), share + rng.uniform(-1, 1) * _SHARE_JITTER)
            )
    return shape


def interpolate(points: Sequence[tuple[int, float]], tick: int) -> float:
    """The value at a tick on the line through the points; the first and the last extend outwards."""
    after = bisect_left(points, tick, key=itemgetter(0))
    if after in (0, len(points)):
        return points[min(after, len(points) - 1)][1]
    (before_tick, before), (at_tick, value) = points[after - 1 : after + 1]
    return before + (value - before) * (tick - before_tick) / (at_tick - before_tick)


def price_raw(start_raw: int, log_move: float) -> int:
    """The price in 1e-8 USD after its logarithm has moved so far from the start; never below one unit."""
    return max(1, round(start_raw * math.exp(log_move)))
