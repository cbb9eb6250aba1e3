"""The price processes: repeatable by seed, calm where they should be, steep where they should be."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from solders.pubkey import Pubkey

from engine.protocol.addresses import FEEDS, PYTH_RECEIVER, SOL_USD
from engine.protocol.pyth import PRICE_ACCOUNT_SIZE, decode_price_update, encode_price_update, to_e6
from engine.sandbox.market.feeds import FeedPublisher
from engine.sandbox.market.prices import EXPONENT, INSTRUMENTS, CalmPath, CrashPath, Instrument, PricePath

TICKS_IN_30_S = 75
CRASH_DEPTHS = {"SOL/USD": (0.34, 0.42), "ETH/USD": (0.24, 0.31), "BTC/USD": (0.19, 0.26)}


def play(path: PricePath, ticks: int) -> list[int]:
    return [path.advance() for _ in range(ticks)]


def moves(prices: list[int]) -> list[float]:
    return [after / before - 1 for before, after in pairwise(prices)]


def test_there_is_an_instrument_for_every_feed() -> None:
    assert set(INSTRUMENTS) == set(FEEDS)


@pytest.mark.parametrize("kind", [CalmPath, CrashPath])
@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=lambda i: i.symbol)
def test_the_same_seed_gives_the_same_prices_and_another_seed_others(
    kind: type[CalmPath] | type[CrashPath], instrument: Instrument
) -> None:
    first, again, other = (play(kind(seed, instrument), 300) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert all(isinstance(price, int) and price > 0 for price in first)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=lambda i: i.symbol)
def test_a_crash_reaches_its_depth_within_30_seconds_and_recovers_slowly(
    seed: int, instrument: Instrument
) -> None:
    prices = play(CrashPath(seed, instrument), 1500)
    bottom = min(prices[:TICKS_IN_30_S])
    shallowest, deepest = CRASH_DEPTHS[instrument.symbol]
    assert shallowest <= 1 - bottom / instrument.start_raw <= deepest
    assert bottom < prices[300] < prices[-1] < instrument.start_raw


@pytest.mark.parametrize("seed", range(8))
def test_a_crash_rebounds_on_its_way_down(seed: int) -> None:
    prices = play(CrashPath(seed, INSTRUMENTS["SOL/USD"]), TICKS_IN_30_S)
    first_low, rebound = min(prices[15:24]), max(prices[22:28])
    second_low, second_rebound = min(prices[34:42]), max(prices[42:48])
    assert rebound > 1.02 * first_low > 1.02 * second_low
    assert second_rebound > 1.03 * second_low
    assert min(prices[60:]) < second_low


@pytest.mark.parametrize("seed", range(8))
def test_no_tick_of_a_crash_jumps_so_far_that_it_needs_a_second_source(seed: int) -> None:
    for instrument in INSTRUMENTS.values():
        assert max(map(abs, moves(play(CrashPath(seed, instrument), 200)))) < 0.05


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=lambda i: i.symbol)
def test_a_calm_market_moves_a_little_and_always_comes_back(seed: int, instrument: Instrument) -> None:
    ticks = 100_000  # eleven hours: a walk that does not come back would be far away
    prices = play(CalmPath(seed, instrument), ticks)
    furthest = max(abs(price / instrument.start_raw - 1) for price in prices)
    assert instrument.slow_deviation < furthest < 5.5 * instrument.slow_deviation
    assert max(map(abs, moves(prices))) < 0.002
    assert len(set(prices)) > 0.9 * ticks


def test_symbols_move_together_but_not_alike() -> None:
    one, two = (moves(play(CalmPath(3, INSTRUMENTS[s]), 5000)) for s in ("BTC/USD", "ETH/USD"))
    mean_one, mean_two = sum(one) / len(one), sum(two) / len(two)
    covariance = sum((a - mean_one) * (b - mean_two) for a, b in zip(one, two, strict=True))
    variance_one = sum((a - mean_one) ** 2 for a in one)
    variance_two = sum((b - mean_two) ** 2 for b in two)
    assert 0.5 < covariance / (variance_one * variance_two) ** 0.5 < 0.7


def test_a_published_feed_decodes_as_a_full_pyth_price_within_its_limits() -> None:
    publisher = FeedPublisher(SOL_USD, Random(1))
    first = publisher.update(150 * 10**8, 1_000, 7)
    data = encode_price_update(publisher.update(140 * 10**8, 1_001, 9))
    update = decode_price_update(data)
    assert len(data) == PRICE_ACCOUNT_SIZE
    assert update.feed_id == SOL_USD.feed_id
    assert update.write_authority == SOL_USD.account != Pubkey.default() != PYTH_RECEIVER
    assert to_e6(update.price, update.exponent) == 140 * 10**6 and update.exponent == EXPONENT
    assert 500 <= update.conf * 1_000_000 / update.price <= 1_000
    assert (update.publish_time_s, update.prev_publish_time_s, update.posted_slot) == (1_001, 1_000, 9)
    assert first.ema_price == 150 * 10**8
    assert 140 * 10**8 < update.ema_price < 150 * 10**8
