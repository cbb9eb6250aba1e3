"""The character of each scenario: how deep, how fast, for how long, and whether prices come back."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from engine.protocol.addresses import FEEDS
from engine.sandbox.market.drifts import Direction, drawn_direction
from engine.sandbox.market.prices import INSTRUMENTS
from engine.sandbox.market.scenarios import OPENINGS_PER_MINUTE, Scenario, price_paths

MINUTE = 150  # ticks
SECOND = 2.5
SEEDS = range(6)
DRAWN = [scenario for scenario in Scenario if scenario is not Scenario.REPLAY]

FLASH_DEPTHS = {"SOL/USD": (0.20, 0.25), "ETH/USD": (0.17, 0.225), "BTC/USD": (0.15, 0.195)}
GAP_SIZES = {"SOL/USD": (0.155, 0.20), "ETH/USD": (0.135, 0.18), "BTC/USD": (0.12, 0.155)}
GRIND_DEPTHS = {"SOL/USD": (0.24, 0.34), "ETH/USD": (0.19, 0.29), "BTC/USD": (0.145, 0.225)}
TREND_PER_MINUTE = {"SOL/USD": (0.003, 0.0055), "ETH/USD": (0.0023, 0.0045), "BTC/USD": (0.0016, 0.0034)}


def play(scenario: Scenario, seed: int, ticks: int, trend: Direction | None = None) -> dict[str, list[float]]:
    """Prices by symbol as multiples of the start price, which is the first of them."""
    paths = price_paths(scenario, seed, {}, 10, trend)
    return {
        symbol: [1.0, *(path.advance() / path.start_raw for _ in range(ticks))]
        for symbol, path in paths.items()
    }


def largest_move(prices: list[float]) -> float:
    return max(abs(after / before - 1) for before, after in pairwise(prices))


@pytest.mark.parametrize("scenario", DRAWN)
def test_a_seed_repeats_its_prices_tick_by_tick_and_another_seed_has_others(scenario: Scenario) -> None:
    first, again, other = (play(scenario, seed, 2_000) for seed in (5, 5, 6))
    assert set(first) == set(FEEDS)
    assert first == again
    assert all(first[symbol] != other[symbol] for symbol in FEEDS)


def test_prices_are_the_same_in_another_process() -> None:
    program = (
        "from engine.sandbox.market.scenarios import *\n"
        "for name in %r:\n"
        "    paths = price_paths(Scenario(name), 9, {}, 10)\n"
        "    print([[path.advance() for _ in range(99)] for path in paths.values()])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program % [scenario.value for scenario in DRAWN]],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for scenario, line in zip(DRAWN, run.stdout.splitlines(), strict=True):
        paths = price_paths(scenario, 9, {}, 10)
        assert line == str([[path.advance() for _ in range(99)] for path in paths.values()])


def test_every_scenario_says_how_many_newcomers_it_has_and_falling_prices_have_fewer() -> None:
    assert set(OPENINGS_PER_MINUTE) == set(Scenario)
    assert max(OPENINGS_PER_MINUTE[s] for s in (Scenario.CRASH, Scenario.GRIND)) < OPENINGS_PER_MINUTE["calm"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("symbol", FEEDS)
def test_a_flash_falls_15_to_25_percent_and_is_back_within_12_seconds(seed: int, symbol: str) -> None:
    prices = play(Scenario.FLASH, seed, 20 * int(SECOND) + 10)[symbol]
    low, high = FLASH_DEPTHS[symbol]
    assert low <= 1 - min(prices) <= high
    under_water = [tick for tick, price in enumerate(prices) if price < 0.97]
    assert 4 * SECOND <= under_water[0] <= 8 * SECOND
    assert 4 * SECOND <= len(under_water) <= 11 * SECOND
    assert under_water[-1] - under_water[0] + 1 == len(under_water)
    assert abs(prices[-1] - 1) < 0.01
    deep = [tick for tick in under_water if prices[tick] < 1.005 * min(prices)]
    assert deep[0] - under_water[0] < 3 * SECOND
    assert largest_move(prices) < 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_flashes_strike_all_symbols_at_once_and_again_every_few_minutes(seed: int) -> None:
    prices = play(Scenario.FLASH, seed, 30 * MINUTE)
    begins = {
        symbol: [t for t in range(1, len(p)) if p[t] < 0.95 <= p[t - 1]] for symbol, p in prices.items()
    }
    counts = {len(ticks) for ticks in begins.values()}
    assert len(counts) == 1 and 5 <= counts.pop() <= 14
    for together in zip(*begins.values(), strict=True):
        assert max(together) - min(together) <= 1
    for one, other in pairwise(begins["SOL/USD"]):
        assert 2 * MINUTE <= other - one <= 6.5 * MINUTE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("symbol", FEEDS)
def test_a_gap_is_one_tick_of_12_to_20_percent_that_stays(seed: int, symbol: str) -> None:
    prices = play(Scenario.GAP, seed, MINUTE)[symbol]
    smallest, largest = GAP_SIZES[symbol]
    moves = [after / before - 1 for before, after in pairwise(prices)]
    [at] = [tick for tick, move in enumerate(moves) if abs(move) > 0.01]
    assert smallest <= -moves[at] <= largest
    assert 4 * SECOND <= at <= 8 * SECOND
    assert all(abs(price / prices[at + 1] - 1) < 0.02 for price in prices[at + 1 :])


@pytest.mark.parametrize("seed", SEEDS)
def test_gaps_go_both_ways_and_prices_come_back_between_them(seed: int) -> None:
    prices = play(Scenario.GAP, seed, 60 * MINUTE)
    moves = {s: [after / before - 1 for before, after in pairwise(p)] for s, p in prices.items()}
    gaps = {s: [(t, m > 0) for t, m in enumerate(of) if abs(m) > 0.10] for s, of in moves.items()}
    assert gaps["SOL/USD"] == gaps["BTC/USD"] == gaps["ETH/USD"]
    assert {is_up for _, is_up in gaps["SOL/USD"]} == {True, False}
    for (one, _), (other, _) in pairwise(gaps["SOL/USD"]):
        assert 3 * MINUTE <= other - one <= 6.1 * MINUTE
    for tick, _ in gaps["SOL/USD"]:
        assert all(abs(prices[symbol][tick] - 1) < 0.05 for symbol in FEEDS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("symbol", FEEDS)
def test_a_grind_falls_for_20_to_30_minutes_in_small_steps_and_climbs_back(seed: int, symbol: str) -> None:
    prices = play(Scenario.GRIND, seed, 95 * MINUTE)[symbol]
    low, high = GRIND_DEPTHS[symbol]
    assert low <= 1 - min(prices[: 36 * MINUTE]) <= high
    assert largest_move(prices) < 0.01
    at_ten, at_twenty = prices[10 * MINUTE], prices[20 * MINUTE]
    assert 1 > at_ten > at_twenty
    assert 0.2 <= (1 - at_ten) / (1 - min(prices)) <= 0.6  # a third to half of the time is gone
    rebounds = [prices[t] / prices[t - 20] - 1 for t in range(100, 20 * MINUTE)]
    assert max(rebounds) > 0.001
    assert max(prices[40 * MINUTE :]) > 0.94 > prices[25 * MINUTE]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("symbol", FEEDS)
def test_a_trend_drifts_its_way_in_every_ten_minutes(seed: int, direction: Direction, symbol: str) -> None:
    prices = play(Scenario.TREND, seed, 60 * MINUTE, direction)[symbol]
    sign = 1 if direction is Direction.UP else -1
    slowest, fastest = TREND_PER_MINUTE[symbol]
    assert slowest * 0.6 <= sign * (prices[-1] - 1) / 60 <= fastest * 1.4
    for start in range(0, 50 * MINUTE, MINUTE):
        assert sign * (prices[start + 10 * MINUTE] / prices[start] - 1) > 0
    against = [sign * (after / before - 1) < 0 for before, after in pairwise(prices)]
    assert 0.25 < sum(against) / len(against) < 0.5  # the noise is larger than the drift of one tick
    assert largest_move(prices) < 0.004


def test_the_seed_draws_the_direction_of_a_trend_unless_it_is_given() -> None:
    drawn = {seed: drawn_direction(seed) for seed in range(20)}
    assert set(drawn.values()) == set(Direction)
    for seed, direction in drawn.items():
        assert play(Scenario.TREND, seed, 50) == play(Scenario.TREND, seed, 50, direction)


@pytest.mark.parametrize("direction", Direction)
def test_a_trend_turns_where_the_price_has_doubled_or_halved(direction: Direction) -> None:
    path = price_paths(Scenario.TREND, 3, {}, 10, direction)["SOL/USD"]
    prices = [path.advance() / path.start_raw for _ in range(9 * 60 * MINUTE)]
    assert min(prices) > 0.45 and max(prices) < 2.2
    assert max(prices) > 1.9 and min(prices) < 0.53


def test_the_instruments_of_the_scenarios_are_those_that_have_feeds() -> None:
    assert set(INSTRUMENTS) == set(FEEDS)
