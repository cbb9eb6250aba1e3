"""The scenarios by name: which price process each symbol follows, and how often new positions arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from engine.sandbox.market.candles import ReplayPath, read_candles, timeline
from engine.sandbox.market.drifts import Direction, GrindPath, TrendPath, drawn_direction
from engine.sandbox.market.prices import INSTRUMENTS, CalmPath, CrashPath, Instrument, PricePath
from engine.sandbox.market.shocks import FlashPath, GapPath


class Scenario(StrEnum):
    """What the prices do."""

    CALM = "calm"
    TREND = "trend"
    CRASH = "crash"
    FLASH = "flash"
    GRIND = "grind"
    GAP = "gap"
    REPLAY = "replay"


# Nobody is in a hurry to open a position while prices fall.
OPENINGS_PER_MINUTE: Mapping[Scenario, float] = {
    Scenario.CALM: 4,
    Scenario.TREND: 4,
    Scenario.CRASH: 1,
    Scenario.FLASH: 2,
    Scenario.GRIND: 2,
    Scenario.GAP: 2,
    Scenario.REPLAY: 3,
}

_PATHS: Mapping[Scenario, Callable[[int, Instrument], PricePath]] = {
    Scenario.CALM: CalmPath,
    Scenario.CRASH: CrashPath,
    Scenario.FLASH: FlashPath,
    Scenario.GRIND: GrindPath,
    Scenario.GAP: GapPath,
    Scenario.REPLAY: CalmPath,
}


def price_paths(
    scenario: Scenario,
    seed: int,
    files: Mapping[str, Path],
    ticks_per_candle: int,
    trend: Direction | None = None,
) -> dict[str, PricePath]:
    """The price process of every symbol; symbols that a replay has no file for are calm.

    `trend` is the direction of the trend scenario; without it the seed draws one. Raises PriceFileError for a
    file that cannot be replayed.
    """
    if scenario is Scenario.TREND:
        direction = trend or drawn_direction(seed)
        return {symbol: TrendPath(seed, instrument, direction) for symbol, instrument in INSTRUMENTS.items()}
    kind = _PATHS[scenario]
    paths = {symbol: kind(seed, instrument) for symbol, instrument in INSTRUMENTS.items()}
    candles = {symbol: read_candles(file) for symbol, file in files.items()}
    instants = timeline(candles)
    for symbol, candles_of_symbol in candles.items():
        paths[symbol] = ReplayPath(candles_of_symbol, instants, ticks_per_candle)
    return paths
