"""Prices that move suddenly: a flash that is over within seconds, and gaps that skip what lies between.

flash  after 4 to 6 s of calm every symbol falls within 3 s (SOL 21 to 24.5 %, ETH 18 to 22 %, BTC 15.5 to
       19 %), lies there for about a second, and is back where it came from within another 6 s. No tick moves
       6 %. Another flash follows every 2 to 6 minutes.
gap    after 4 to 6 s of calm every symbol jumps in a single tick (SOL 16 to 19.5 %, ETH 14 to 17.5 %, BTC
       12.5 to 15 %), stays there for a minute, and comes back over two minutes. The first jump is downwards,
       the direction of the others is drawn; another follows after 3 to 6 minutes.
All symbols are struck at the same tick. Between the shocks they are as calm as in a calm market.
"""

from __future__ import annotations

import math
from random import Random

from engine.sandbox.market.prices import Instrument, Wobble, interpolate, price_raw
from engine.sandbox.market.seeds import generator

Shape = list[tuple[int, float]]  # (ticks since the shock began, share of its whole move)

_FIRST_AFTER_TICKS = (10, 15)
_FLASH_FALL_TICKS = (5, 7)
_FLASH_TROUGH_TICKS = (2, 4)
_FLASH_RETURN_TICKS = (9, 15)
_FLASH_PAUSE_TICKS = (300, 900)
_GAP_SHAPE: Shape = [(0, 0.0), (1, 1.0), (151, 1.0), (451, 0.0)]
_GAP_PAUSE_TICKS = (0, 450)


class FlashPath:
    """A price that falls steeply and is back within seconds, again and again."""

    def __init__(self, seed: int, instrument: Instrument) -> None:
        self._start_raw = instrument.start_raw
        self._wobble = Wobble(seed, instrument)
        self._together = generator(seed, "flashes")
        self._depths = generator(seed, f"flash depths of {instrument.symbol}")
        self._depth_range = instrument.flash_depth
        self._tick = 0
        self._begins_at = self._together.randint(*_FIRST_AFTER_TICKS)
        self._draw()

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        return self._start_raw

    def advance(self) -> int:
        """The price of the next tick."""
        self._tick += 1
        since = self._tick - self._begins_at
        move = interpolate(self._shape, since) * self._log_trough
        if since >= self._shape[-1][0]:
            self._begins_at = self._tick + self._together.randint(*_FLASH_PAUSE_TICKS)
            self._draw()
        return price_raw(self._start_raw, move + self._wobble.advance())

    def _draw(self) -> None:
        self._shape = _flash_shape(self._together)
        self._log_trough = math.log(1 - self._depths.uniform(*self._depth_range))


def _flash_shape(rng: Random) -> Shape:
    bottom = rng.randint(*_FLASH_FALL_TICKS)
    turn = bottom + rng.randint(*_FLASH_TROUGH_TICKS)
    return [(0, 0.0), (bottom, 1.0), (turn, 1.0), (turn + rng.randint(*_FLASH_RETURN_TICKS), 0.0)]


class GapPath:
    """A price that jumps from one tick to the next, stays, comes back slowly, and jumps again."""

    def __init__(self, seed: int, instrument: Instrument) -> None:
        self._start_raw = instrument.start_raw
        self._wobble = Wobble(seed, instrument)
        self._together = generator(seed, "gaps")
        self._sizes = generator(seed, f"gap sizes of {instrument.symbol}")
        self._size_range = instrument.gap_share
        self._tick = 0
        self._begins_at = self._together.randint(*_FIRST_AFTER_TICKS)
        self._draw(is_down=True)

    @property
    def start_raw(self) -> int:
        """The price before the first tick."""
        return self._start_raw

    def advance(self) -> int:
        """The price of the next tick."""
        self._tick += 1
        since = self._tick - self._begins_at
        move = interpolate(_GAP_SHAPE, since) * self._log_jump
        if since >= _GAP_SHAPE[-1][0]:
            self._begins_at = self._tick + self._together.randint(*_GAP_PAUSE_TICKS)
            self._draw(is_down=self._together.random() < 0.5)
        return price_raw(self._start_raw, move + self._wobble.advance())

    def _draw(self, *, is_down: bool) -> None:
        share = self._sizes.uniform(*self._size_range)
        self._log_jump = math.log(1 - share if is_down else 1 + share)
