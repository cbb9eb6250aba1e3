"""The risk figures: whatever comes and goes, they are what going over every position would find."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from engine.book.book import Book, terms_of
from engine.book.risk import LADDER_BPS, band_counts, riskiest, symbol_risk
from engine.domain import Position, Side, Verdict
from engine.protocol.margin import threshold_e6

sys.path.insert(0, str(Path(__file__).parent))
from populations import (
    MARKS_E6,
    SYMBOLS,
    below_at_risk_at,
    debt_e6_at,
    health_factor_at,
    liquidatable_at,
    of_symbol,
    price,
    random_position,
    random_positions,
)

COUNT = 6_000  # enough for groups of several leaves


def make_book(positions: list[Position]) -> Book:
    book = Book(SYMBOLS, 1300)
    for position in positions:
        book.apply(position)
    return book


@pytest.fixture(scope="module")
def crowd() -> list[Position]:
    return random_positions(7, COUNT)


@pytest.fixture(scope="module")
def crowded(crowd) -> Book:
    return make_book(crowd)


def expected_bands(positions: list[Position], mark_e6: int) -> tuple[int, int, int]:
    liquidatable = sum(liquidatable_at(each, mark_e6) for each in positions)
    below = sum(below_at_risk_at(each, mark_e6) for each in positions)
    return len(positions) - below, below - liquidatable, liquidatable


@pytest.mark.parametrize("move_bps", [-2500, -400, -37, 0, 1, 55, 3000])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bands_count_every_position_where_it_stands(crowd, crowded, symbol, move_bps):
    mark_e6 = MARKS_E6[symbol] * (10_000 + move_bps) // 10_000
    here = list(of_symbol(crowd, symbol))
    bands = symbol_risk(crowded, price(symbol, mark_e6)).bands
    assert (bands.healthy, bands.at_risk, bands.liquidatable) == expected_bands(here, mark_e6)
    assert (bands.monitored, bands.unknown) == (len(here), 0)
    value = sum(each.size_e6 for each in here if liquidatable_at(each, mark_e6)) * mark_e6 / 1e6
    assert bands.liquidatable_value_e6 == pytest.approx(value, rel=1e-9, abs=10)
    total = bands.healthy_value_e6 + bands.at_risk_value_e6 + bands.liquidatable_value_e6
    assert total == pytest.approx(sum(each.size_e6 for each in here) * mark_e6 / 1e6, rel=1e-9)


def test_bands_are_exact_at_every_line_and_one_unit_beside_it(crowd, crowded):
    here = list(of_symbol(crowd, "BTC/USD"))
    rng = Random(3)
    for position in rng.sample(here, 20):
        for factor in (1000, 1300):
            line = threshold_e6(terms_of(position), factor)
            for mark_e6 in [mark for mark in (line - 1, line, line + 1) if mark > 0]:
                bands = symbol_risk(crowded, price("BTC/USD", mark_e6)).bands
                assert (bands.healthy, bands.at_risk, bands.liquidatable) == expected_bands(here, mark_e6)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_ladder_says_who_falls_with_each_step_and_what_it_would_cost(crowd, crowded, symbol):
    here, mark_e6 = list(of_symbol(crowd, symbol)), MARKS_E6[symbol]
    ladder = symbol_risk(crowded, price(symbol)).ladder
    assert [rung.move_bps for rung in ladder] == [-bps for bps in LADDER_BPS] + list(LADDER_BPS)
    for rung in ladder:
        side = [each for each in here if each.side is (Side.LONG if rung.move_bps < 0 else Side.SHORT)]
        assert rung.price_e6 == mark_e6 * (10_000 + rung.move_bps) // 10_000
        fallen = [
            each
            for each in side
            if liquidatable_at(each, rung.price_e6) and not liquidatable_at(each, mark_e6)
        ]
        assert rung.count == len(fallen)
        value = sum(each.size_e6 for each in fallen) * rung.price_e6 / 1e6
        assert rung.value_e6 == pytest.approx(value, rel=1e-9, abs=10)
        debt = float(sum(debt_e6_at(each, rung.price_e6) for each in side))
        assert rung.bad_debt_e6 == pytest.approx(debt, rel=1e-6, abs=10)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_distance_is_to_the_nearest_line_that_the_mark_has_not_reached(crowd, crowded, symbol):
    mark_e6 = MARKS_E6[symbol]
    lines = {side: [] for side in Side}
    for each in of_symbol(crowd, symbol):
        if not liquidatable_at(each, mark_e6):
            lines[each.side].append(threshold_e6(terms_of(each)))
    risk = symbol_risk(crowded, price(symbol))
    assert risk.next_fall_e6 == max(lines[Side.LONG])
    assert risk.next_rise_e6 == min(lines[Side.SHORT])


def test_the_riskiest_of_all_symbols_come_in_the_order_of_their_health(crowd, crowded):
    prices = [price(symbol) for symbol in SYMBOLS]
    below = [each for each in crowd if below_at_risk_at(each, MARKS_E6[each.symbol])]
    below.sort(key=lambda each: health_factor_at(each, MARKS_E6[each.symbol]))
    for limit in (1, 10, 200, len(below) + 50):
        assert riskiest(crowded, prices, limit) == [each.address for each in below[:limit]]


def test_after_thousands_of_openings_changes_and_closings_the_figures_are_still_right():
    rng = Random(11)
    book, held = Book(SYMBOLS, 1300), {}
    for slot in range(1, 12_001):
        dice = rng.random()
        if held and dice < 0.40:  # more go than stay, so that leaves are given back too
            address = rng.choice(tuple(held)) if slot % 50 == 0 else next(iter(held))
            del held[address]
            book.remove(address, slot)
        elif held and dice < 0.55:
            address = next(iter(held))
            changed = replace(held.pop(address), collateral_e6=rng.randrange(10**11), slot=slot)
            held[address] = changed
            book.apply(changed)
        else:
            position = random_position(rng, slot)
            held[position.address] = position
            book.apply(position)
        if slot % 3_000 == 0:
            positions = list(held.values())
            assert len(book) == len(positions)
            assert all(book.get(each.address) == each for each in positions)
            for symbol in SYMBOLS:
                bands = symbol_risk(book, price(symbol)).bands
                assert (bands.healthy, bands.at_risk, bands.liquidatable) == expected_bands(
                    list(of_symbol(positions, symbol)), MARKS_E6[symbol]
                )


def test_a_symbol_whose_price_is_held_is_unknown_altogether(crowd, crowded):
    prices = [
        price(symbol, verdict=Verdict.OK if symbol == "BTC/USD" else Verdict.STALE) for symbol in SYMBOLS
    ]
    counts = band_counts(crowded, prices)
    known = len(list(of_symbol(crowd, "BTC/USD")))
    assert counts.monitored == COUNT
    assert counts.unknown == COUNT - known
    held = symbol_risk(crowded, price("SOL/USD", verdict=Verdict.WIDE))
    assert (held.bands.unknown, held.ladder, held.next_fall_e6) == (held.bands.monitored, (), None)


def test_any_number_of_equal_lines_finds_room_and_crosses_together():
    rng = Random(5)
    template = replace(random_position(rng), symbol="BTC/USD", side=Side.LONG, leverage=10)
    book = Book(SYMBOLS, 1300)
    twins = [replace(template, address=random_position(rng).address) for _ in range(2_000)]
    for twin in twins:
        book.apply(twin)
    line = threshold_e6(terms_of(template))
    assert book.crossed(price("BTC/USD", line + 1)) == []
    assert len(book.crossed(price("BTC/USD", line))) == 2_000
    for twin in twins[:1_990]:
        book.remove(twin.address, 2)
    assert set(book.crossed(price("BTC/USD", line))) == {twin.address for twin in twins[1_990:]}
