"""Populations of other settings are drawn as the settings say, and impossible settings are refused."""

from __future__ import annotations

from typing import Any

import pytest
from market_town import Town
from pydantic import ValidationError

from engine.domain import Generation, Side
from engine.protocol.accounts import decode_fund
from engine.protocol.addresses import insurance_fund_address
from engine.protocol.margin import LAMPORTS_PER_SOL, health_at, is_below, is_liquidatable
from engine.protocol.pyth import to_e6
from engine.sandbox.market.contributors import MAX_FUND_LAMPORTS, fund_lamports
from engine.sandbox.market.population import Opening, Population
from engine.sandbox.market.population_settings import PopulationSettings
from engine.sandbox.market.prices import EXPONENT, INSTRUMENTS

START_E6 = {symbol: to_e6(instrument.start_raw, EXPONENT) for symbol, instrument in INSTRUMENTS.items()}
MANY = 4_000


def settings(**values: Any) -> PopulationSettings:
    return PopulationSettings.model_validate(values)


def drawn(count: int = MANY, **values: Any) -> list[Opening]:
    return list(Population(1, count, START_E6, settings(**values)).openings())


def share(openings: list[Opening], condition: Any) -> float:
    return sum(map(condition, openings)) / len(openings)


def test_leverage_comes_from_the_tiers_by_their_weight() -> None:
    tiers = (
        {"lowest": 2, "highest": 4, "weight": 3.0},
        {"lowest": 27, "highest": 33, "weight": 1.0},
        {"lowest": 900, "highest": 1000, "weight": 0.0},
    )
    openings = drawn(leverage=tiers)
    assert {o.leverage for o in openings} == {2, 3, 4, *range(27, 34)}
    assert 0.72 < share(openings, lambda o: o.leverage <= 4) < 0.78


def test_symbols_come_by_their_weight_and_others_not_at_all() -> None:
    openings = drawn(symbols={"ETH/USD": 1.0, "BTC/USD": 9.0})
    assert {o.symbol for o in openings} == {"ETH/USD", "BTC/USD"}
    assert 0.87 < share(openings, lambda o: o.symbol == "BTC/USD") < 0.93


@pytest.mark.parametrize(("longs", "expected"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_longs_are_as_many_as_asked_for(longs: float, expected: float) -> None:
    openings = drawn(deployed_share=0.0, long_share=longs)
    assert {o.generation for o in openings} == {Generation.DOCUMENTED}
    assert abs(share(openings, lambda o: o.side is Side.LONG) - expected) < 0.03


def test_the_generations_are_as_many_as_asked_for() -> None:
    openings = drawn(deployed_share=0.8, traders_per_hundred_positions=100)
    assert 0.5 < share(openings, lambda o: o.generation is Generation.DEPLOYED) < 0.8
    assert share(drawn(deployed_share=1.0, long_share=0.0), lambda o: o.side is Side.LONG) > 0.5


def test_sizes_have_their_median_their_spread_and_their_limits() -> None:
    size = {"median_usd": 200_000.0, "sigma": 0.5, "lowest_usd": 100_000.0, "highest_usd": 400_000.0}
    values = sorted(o.size_e6 * o.entry_price_e6 / 10**12 for o in drawn(size=size))
    assert 190_000 < values[MANY // 2] < 210_000
    assert 99_999 < values[0] < 100_001 and 399_999 < values[-1] < 400_001
    assert 0.06 < sum(value > 399_999 for value in values) / MANY < 0.11  # beyond 1.39 sigma
    alike = drawn(size={"sigma": 0.0})
    assert {round(o.size_e6 * o.entry_price_e6 / 10**12) for o in alike} == {5_000}


def test_every_position_starts_above_its_line_of_health() -> None:
    openings = drawn(health_lines={"lowest": 1.5, "highest": 1.6})
    health = [health_at(o.terms, START_E6[o.symbol]) for o in openings]
    assert not any(is_below(one, 1500) for one in health)
    at_risk = drawn(health_lines={"lowest": 1.001, "highest": 1.001}, mean_surplus=0.0001)
    health = [health_at(o.terms, START_E6[o.symbol]) for o in at_risk]
    assert not any(is_liquidatable(one) for one in health)
    assert sum(is_below(one, 1300) for one in health) > 0.05 * MANY


def test_entries_lie_as_far_from_the_mark_as_asked_for() -> None:
    at_mark = drawn(entry_deviation_times_leverage=0.0)
    assert all(o.entry_price_e6 == START_E6[o.symbol] for o in at_mark)
    farther = drawn(entry_deviation_times_leverage=10.0, highest_entry_deviation=0.1)
    spread = [abs(o.entry_price_e6 / START_E6[o.symbol] - 1) for o in farther]
    assert max(spread) <= 0.2001 and sum(spread) / MANY > 0.05


def test_fewer_traders_own_more_positions_each() -> None:
    owners = {o.trader for o in drawn(traders_per_hundred_positions=1)}
    assert len(owners) == MANY // 100


def test_extreme_settings_make_positions_that_the_program_takes() -> None:
    town = Town(
        positions=40,
        population=settings(
            size={"median_usd": 1e8, "sigma": 5.0, "lowest_usd": 1.0, "highest_usd": 1e8},
            leverage=({"lowest": 1, "highest": 1000, "weight": 1.0},),
            mean_surplus=100.0,
            health_lines={"lowest": 99.0, "highest": 100.0},
        ),
    ).open()
    assert len(town.positions()) == 40


def test_the_fund_grows_with_the_number_and_the_size_of_positions() -> None:
    usual = PopulationSettings()
    assert fund_lamports(0, usual) == fund_lamports(100, usual) == 200 * LAMPORTS_PER_SOL
    assert fund_lamports(1_000_000, usual) == 2_000_000 * LAMPORTS_PER_SOL
    tenfold = settings(size={"median_usd": 50_000.0, "highest_usd": 10_000_000.0})
    assert fund_lamports(1_000, tenfold) == 20_000 * LAMPORTS_PER_SOL
    huge = settings(size={"median_usd": 1e8, "highest_usd": 1e8})
    assert fund_lamports(1_000_000, huge) == MAX_FUND_LAMPORTS
    town = Town(positions=150, population=tenfold).open()
    account = town.ledger.account(insurance_fund_address())
    assert account is not None
    balance = decode_fund(account.data, town.ledger.slot).balance_lamports
    assert 3_000 * LAMPORTS_PER_SOL <= balance <= 3_005 * LAMPORTS_PER_SOL


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"symbols": {"DOGE/USD": 1.0}}, "DOGE/USD has no feed"),
        ({"symbols": {}}, "at least one symbol needs a weight above 0"),
        ({"symbols": {"SOL/USD": 0.0}}, "at least one symbol needs a weight above 0"),
        ({"symbols": {"SOL/USD": -1.0}}, "greater than or equal to 0"),
        ({"leverage": ()}, "at least one tier needs a weight above 0"),
        ({"leverage": ({"lowest": 5, "highest": 4, "weight": 1.0},)}, "lowest must not be above highest"),
        ({"leverage": ({"lowest": 0, "highest": 4, "weight": 1.0},)}, "greater than or equal to 1"),
        ({"leverage": ({"lowest": 1, "highest": 1001, "weight": 1.0},)}, "less than or equal to 1000"),
        ({"size": {"median_usd": 10.0}}, "median_usd must lie between"),
        ({"size": {"sigma": float("nan")}}, "finite number"),
        ({"long_share": 1.5}, "less than or equal to 1"),
        ({"long_share": "half"}, "valid number"),
        ({"health_lines": {"lowest": 1.0}}, "greater than 1"),
        ({"health_lines": {"lowest": 1.5}}, "lowest must not be above highest"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        settings(**wrong)
