"""The integer margin formulas equal the same formulas in exact fractions, written from their definitions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.domain import Action, Side
from engine.protocol import margin
from engine.protocol.margin import Terms

U64_MAX = 2**64 - 1
TIERS = (
    (1, "0.025"), (20, "0.025"), (21, "0.01"), (50, "0.01"), (51, "0.005"), (100, "0.005"),
    (101, "0.0025"), (500, "0.0025"), (501, "0.001"), (1000, "0.001"),
)  # fmt: skip

fast = settings(max_examples=400, deadline=None, database=None, derandomize=True)


def sized(lowest_bits: int, highest_bits: int) -> st.SearchStrategy[int]:
    """Positive integers whose bit lengths are alike likely."""
    return st.integers(lowest_bits, highest_bits).flatmap(
        lambda bits: st.integers(2 ** (bits - 1), 2**bits - 1)
    )


leverages = st.one_of(st.sampled_from([leverage for leverage, _ in TIERS]), st.integers(1, 1000))
terms_of_any_size = st.builds(
    Terms, st.sampled_from(Side), sized(1, 64), sized(1, 64), st.one_of(st.just(0), sized(1, 64)), leverages
)
marks = sized(1, 64)


@st.composite
def leveraged(draw: st.DrawFn) -> tuple[Terms, int]:
    """A position with roughly the collateral of its leverage, and a mark that moved by a few margins."""
    side = draw(st.sampled_from(Side))
    leverage = draw(leverages)
    size, entry = draw(sized(1, 50)), draw(sized(8, 50))
    collateral = size * entry // (10**6 * leverage) + draw(st.integers(0, 2))
    move = entry * draw(st.integers(-2000, 2000)) // (1000 * leverage)
    return Terms(side, size, entry, collateral, leverage), max(1, entry + move)


@st.composite
def worth_saving(draw: st.DrawFn) -> tuple[Terms, int]:
    """A position at a mark where its health factor is between a half and one, as near as integers come."""
    terms, _ = draw(leveraged())
    health = Fraction(draw(st.integers(501, 999)), 1000)
    sign = 1 if terms.side is Side.LONG else -1
    without_equity = e6(terms.size_e6) * e6(terms.entry_price_e6) - sign * e6(terms.collateral_e6)
    mark = without_equity / (e6(terms.size_e6) * (1 - sign * health * ratio(terms.leverage)))
    return terms, max(1, round(mark * 10**6))


@dataclass(frozen=True)
class Exact:
    """A position in whole units (not scaled), as fractions."""

    equity: Fraction
    value: Fraction
    maintenance: Fraction

    @property
    def health_factor(self) -> Fraction:
        return self.equity / self.value / self.maintenance


def ratio(leverage: int) -> Fraction:
    highest = ((20, "0.025"), (50, "0.01"), (100, "0.005"), (500, "0.0025"), (1000, "0.001"))
    return Fraction(next(m for limit, m in highest if leverage <= limit))


def e6(value: int) -> Fraction:
    return Fraction(value, 10**6)


def pnl(terms: Terms, size_e6: int, mark_e6: int) -> Fraction:
    move = e6(mark_e6) - e6(terms.entry_price_e6)
    return e6(size_e6) * (move if terms.side is Side.LONG else -move)


def exact(terms: Terms, mark_e6: int) -> Exact:
    return Exact(
        e6(terms.collateral_e6) + pnl(terms, terms.size_e6, mark_e6),
        e6(terms.size_e6) * e6(mark_e6),
        ratio(terms.leverage),
    )


@pytest.mark.parametrize(("leverage", "expected"), TIERS)
def test_the_maintenance_ratio_has_five_tiers(leverage: int, expected: str) -> None:
    assert Fraction(margin.maintenance_bps(leverage), 10_000) == Fraction(expected)


@pytest.mark.parametrize("leverage", [0, -1, 1001, 65535])
def test_a_leverage_outside_1_to_1000_has_no_ratio(leverage: int) -> None:
    with pytest.raises(margin.UnsupportedLeverage):
        margin.maintenance_bps(leverage)


@fast
@given(terms=terms_of_any_size, mark=marks)
def test_health_is_exact_for_any_integers(terms: Terms, mark: int) -> None:
    health, truth = margin.health_at(terms, mark), exact(terms, mark)
    assert Fraction(health.equity_e12, 10**12) == truth.equity
    assert Fraction(health.value_e12, 10**12) == truth.value
    assert margin.is_liquidatable(health) == (truth.health_factor < 1)
    for factor_milli in (100, 1000, 1200, 1300):
        assert margin.is_below(health, factor_milli) == (truth.health_factor < Fraction(factor_milli, 1000))


@fast
@given(terms=terms_of_any_size, factor_milli=st.sampled_from((1000, 1300)))
def test_the_threshold_is_the_last_price_that_is_below_the_line(terms: Terms, factor_milli: int) -> None:
    threshold = margin.threshold_e6(terms, factor_milli)
    line = Fraction(factor_milli, 1000)
    inside, outside = (0, 1) if terms.side is Side.LONG else (0, -1)
    if threshold + inside > 0:
        assert exact(terms, threshold + inside).health_factor < line
    if threshold + outside > 0:
        assert exact(terms, threshold + outside).health_factor >= line


def test_the_threshold_of_the_textbook_long_is_92_3077() -> None:
    """S = 100, e = 100, C = 1000, m = 2.5 %: (10,000 - 1,000) / (100 * 0.975)."""
    terms = Terms(Side.LONG, 100 * 10**6, 100 * 10**6, 1000 * 10**6, 10)
    assert margin.threshold_e6(terms) == 92_307_692
    assert floor(Fraction(9000) / (100 * Fraction("0.975")) * 10**6) == 92_307_692


@fast
@given(situation=st.one_of(leveraged(), worth_saving()))
def test_the_decision_follows_from_the_exact_health(situation: tuple[Terms, int]) -> None:
    terms, mark = situation
    truth = exact(terms, mark)
    action, amount, reason = margin.choose_action(terms.size_e6, margin.health_at(terms, mark), mark)
    assert reason
    target, fee = ratio(terms.leverage) * Fraction(6, 5), ratio(terms.leverage) / 2
    exact_amount = (target * truth.value - truth.equity) / ((target - fee) * e6(mark)) * 10**6
    if truth.health_factor >= 1:
        assert (action, amount) == (Action.HOLD, 0)
    elif (
        truth.equity <= 0
        or truth.health_factor < Fraction(1, 10)
        or truth.value < 10
        or ceil(exact_amount) >= terms.size_e6
    ):
        assert (action, amount) == (Action.FULL, terms.size_e6)
    else:
        assert (action, amount) == (Action.PARTIAL, ceil(exact_amount))


@fast
@given(situation=worth_saving())
def test_a_chosen_partial_restores_the_target_and_one_unit_less_does_not(
    situation: tuple[Terms, int],
) -> None:
    terms, mark = situation
    action, amount, _ = margin.choose_action(terms.size_e6, margin.health_at(terms, mark), mark)
    assume(action is Action.PARTIAL)
    target = ratio(terms.leverage) * Fraction(6, 5)
    fee = ratio(terms.leverage) / 2

    def ratio_after(closed: int) -> Fraction:
        truth = exact(terms, mark)
        paid = fee * e6(closed) * e6(mark)
        return (truth.equity - paid) / (e6(terms.size_e6 - closed) * e6(mark))

    assert ratio_after(amount) >= target > ratio_after(amount - 1)
    settled = margin.settle_partial(terms, mark, amount)
    left = Terms(
        terms.side,
        settled.remaining_size_e6,
        terms.entry_price_e6,
        settled.remaining_collateral_e6,
        terms.leverage,
    )
    assert settled.remaining_collateral_e6 >= 0
    assert not margin.is_below(margin.health_at(left, mark), 1200)


@fast
@given(terms=terms_of_any_size, mark=marks, share=st.fractions(0, 1))
def test_a_partial_settlement_realises_its_share_and_the_fee(
    terms: Terms, mark: int, share: Fraction
) -> None:
    amount = max(1, floor(terms.size_e6 * share))
    assume(amount < terms.size_e6)
    settled = margin.settle_partial(terms, mark, amount)
    fee = floor(ratio(terms.leverage) / 2 * e6(amount) * e6(mark) * 10**6)
    realised = ceil(pnl(terms, amount, mark) * 10**6)
    assert (settled.closed_size_e6, settled.remaining_size_e6) == (amount, terms.size_e6 - amount)
    assert settled.fee_e6 == fee
    assert settled.remaining_collateral_e6 == terms.collateral_e6 + realised - fee
    assert (settled.to_fund_e6, settled.bad_debt_e6) == (0, 0)


@fast
@given(situation=st.one_of(leveraged(), st.tuples(terms_of_any_size, marks)))
def test_a_full_settlement_divides_the_equity_or_names_the_debt(situation: tuple[Terms, int]) -> None:
    terms, mark = situation
    truth = exact(terms, mark)
    settled = margin.settle_full(terms, mark)
    assert (settled.closed_size_e6, settled.remaining_size_e6) == (terms.size_e6, 0)
    assert settled.remaining_collateral_e6 == 0
    assert settled.bad_debt_e6 == max(0, ceil(-truth.equity * 10**6))
    equity_e6 = max(0, floor(truth.equity * 10**6))
    assert settled.fee_e6 == min(equity_e6, floor(ratio(terms.leverage) / 2 * truth.value * 10**6))
    assert settled.fee_e6 + settled.to_fund_e6 == equity_e6


@fast
@given(quote=st.one_of(st.just(0), sized(1, 108)), price=sized(1, 64))
def test_quote_converts_to_lamports_down_when_paid_and_up_when_owed(quote: int, price: int) -> None:
    truth = e6(quote) / e6(price) * 10**9
    assert margin.lamports_floor(quote, price) == floor(truth)
    assert margin.lamports_ceil(quote, price) == ceil(truth)


@fast
@given(size=sized(1, 64), entry=st.one_of(st.just(0), sized(1, 64)), leverage=leverages)
def test_a_new_positions_maintenance_margin_rounds_up(size: int, entry: int, leverage: int) -> None:
    truth = ratio(leverage) * e6(size) * e6(entry)
    assert margin.maintenance_margin_e6(size, entry, leverage) == ceil(truth * 10**6)


@pytest.mark.parametrize(
    ("covered", "contributions", "bps"),
    [
        (0, 0, 0),
        (5, 0, 0),
        (0, 7, 0),
        (1, 3, 3333),
        (7, 7, 10_000),
        (3, 2, 15_000),
        (U64_MAX, 1, 10_000 * U64_MAX),
    ],
)
def test_utilization_is_covered_over_contributions(covered: int, contributions: int, bps: int) -> None:
    assert margin.utilization_bps(covered, contributions) == bps
