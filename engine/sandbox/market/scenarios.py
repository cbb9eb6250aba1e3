"""The scenarios by name: which price process each symbol follows, and how often new positions arrive."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from engine.sandbox.market.candles import ReplayPath, read_candles, timeline
from engine.sandbox.market.prices import INSTRUMENTS, CalmPath, CrashPath, PricePath


class Scenario(StrEnum):
    """What the prices do."""

    CALM = "calm"
    CRASH = "crash"
    REPLAY = "replay"


# Nobody is in a hurry to open a position while prices fall.
OPENINGS_PER_MINUTE: Mapping[Scenario, float] = {
    Scenario.CALM: 4,
    Scenario.CRASH: 1,
    Scenario.REPLAY: 3,
}


def price_paths(
    scenario: Scenario, seed: int, files: Mapping[str, Path], ticks_per_candle: int
) -> dict[str, PricePath]:
    """The price process of every symbol; symbols that a replay has no file for are calm.

    Raises PriceFileError for a file that cannot be replayed.
    """
    if scenario is Scenario.CRASH:
        return {symbol: CrashPath(seed, instrument) for symbol, instrument in INSTRUMENTS.items()}
    paths: dict[str, PricePath] = {
        symbol: CalmPath(seed, instrument) for symbol, instrument in INSTRUMENTS.items()
    }
    candles = {symbol: read_candles(file) for symbol, file in files.items()}
    instants = timeline(candles)
    for symbol, candles_of_symbol in candles.items():
        paths[symbol] = ReplayPath(candles_of_symbol, instants, ticks_per_candle)
    return paths
