"""Every decision, amount and threshold is the one that the protocol's formulas give in exact fractions."""

from __future__ import annotations

import os
from collections import Counter
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from exact_formulas import MICRO, Holding, Standing, last_mark_e6, line_usd, maintenance, mark_e6
from exact_situations import U64_MAX, Situation, situations, sized
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.book.leaf import THRESHOLD_MAX
from engine.book.risk import symbol_risk
from engine.book.unknown import NO_MAINTENANCE
from engine.domain import Action, Generation, Position, Price, Side, Verdict
from engine.liquidation.decide import decide
from engine.protocol import margin
from engine.protocol.accounts import AccountRefused, encode_position
from engine.protocol.addresses import PROGRAM_ID
from engine.protocol.pyth import to_e6
from engine.protocol.threshold_columns import thresholds_e6

SEED = int(os.environ.get("EXACTNESS_SEED", "20260722"))
FEW, MANY = 10_000, 1_000_000
CROWD = 32  # positions that share a book
SYMBOL = "BTC/USD"


def price_at(mark: int, verdict: Verdict = Verdict.OK) -> Price:
    return Price(SYMBOL, mark, 0, mark, -6, 1, 1, verdict)


def position_of(holding: Holding, number: int) -> Position:
    return Position(
        address=Pubkey.from_bytes(number.to_bytes(32, "big")),
        owner=Pubkey.from_bytes(bytes([8] * 32)),
        symbol=SYMBOL,
        side=Side.LONG if holding.is_long else Side.SHORT,
        size_e6=holding.size_e6,
        collateral_e6=holding.collateral_e6,
        entry_price_e6=holding.entry_e6,
        leverage=holding.leverage,
        maintenance_margin_e6=1,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DEPLOYED if holding.is_long and number % 2 else Generation.DOCUMENTED,
        slot=1,
    )


def terms_of(holding: Holding) -> margin.Terms:
    side = Side.LONG if holding.is_long else Side.SHORT
    return margin.Terms(side, holding.size_e6, holding.entry_e6, holding.collateral_e6, holding.leverage)


def check_decision(holding: Holding, mark: int, sol_price_e6: int, at_risk_milli: int) -> str:
    """Decide on one position at one mark, and compare everything; returns what was decided."""
    standing = Standing(holding, mark)
    decision = decide(position_of(holding, 1), price_at(mark))
    amount = standing.amount_to_close_e6()
    expected = "hold" if amount is None else "full" if amount == holding.size_e6 else "partial"
    assert decision.action.value == expected
    assert decision.amount_e6 == (amount or 0)
    assert margin.is_liquidatable(decision.health) == (standing.health < 1)
    below = margin.is_below(decision.health, at_risk_milli)
    assert below == (standing.health < Fraction(at_risk_milli, 1000))
    if amount is None:
        return expected
    closing, terms = standing.close(amount, sol_price_e6), terms_of(holding)
    settled = (
        margin.settle_full(terms, mark) if closing.is_full else margin.settle_partial(terms, mark, amount)
    )
    assert settled == margin.Settlement(
        closed_size_e6=closing.closed_e6,
        remaining_size_e6=closing.left_size_e6,
        remaining_collateral_e6=closing.left_collateral_e6,
        fee_e6=closing.fee_e6,
        to_fund_e6=closing.to_fund_e6,
        bad_debt_e6=closing.bad_debt_e6,
    )
    assert margin.lamports_floor(settled.fee_e6, sol_price_e6) == closing.reward_lamports
    assert margin.lamports_floor(settled.to_fund_e6, sol_price_e6) == closing.to_fund_lamports
    assert margin.lamports_ceil(settled.bad_debt_e6, sol_price_e6) == closing.bad_debt_lamports
    if decision.action is Action.PARTIAL:
        assert standing.margin_after(amount) >= standing.target
        assert standing.margin_after(amount - 1) < standing.target
        left = Holding(
            holding.is_long,
            settled.remaining_size_e6,
            settled.remaining_collateral_e6,
            holding.entry_e6,
            holding.leverage,
        )
        after = Standing(left, mark)
        assert after.equity / after.value >= standing.target
    return expected


def check_lines(situation: Situation) -> None:
    """The scalar and the vectorized thresholds are the last marks on the wrong side of each line."""
    holding = situation.holding
    for milli in (1000, situation.at_risk_milli):
        last = last_mark_e6(holding, Fraction(milli, 1000))
        assert margin.threshold_e6(terms_of(holding), milli) == last
        column = thresholds_e6(
            Side.LONG if holding.is_long else Side.SHORT,
            size_e6=np.array([holding.size_e6], dtype=np.uint64),
            entry_price_e6=np.array([holding.entry_e6], dtype=np.uint64),
            collateral_e6=np.array([holding.collateral_e6], dtype=np.uint64),
            leverage=np.array([holding.leverage], dtype=np.uint16),
            factor_milli=milli,
            most=THRESHOLD_MAX,
        )
        assert column.tolist() == [min(last, THRESHOLD_MAX)]


def book_of(crowd: list[Situation], at_risk_milli: int, *, in_columns: bool) -> Book:
    """A book of these positions, read in columns as a snapshot is or one by one as notifications are."""
    holdings = Holdings(Book([SYMBOL], at_risk_milli), PROGRAM_ID)
    positions = [position_of(each.holding, number) for number, each in enumerate(crowd)]
    if in_columns:
        load = holdings.begin_snapshot(1)
        addresses = [bytes(each.address) for each in positions]
        holdings.take(load, addresses, [encode_position(each) for each in positions])
        for _ in holdings.finish(load):
            pass
    else:
        for each in positions:
            holdings.apply(each.address, encode_position(each), PROGRAM_ID, each.slot)
    assert len(holdings.book) == len(crowd)
    return holdings.book


def is_past(holding: Holding, line: Fraction, mark: int) -> bool:
    """Whether a mark is strictly on the bad side of a line."""
    return mark < line * MICRO if holding.is_long else mark > line * MICRO


def check_book(crowd: list[Situation], marks: list[int], *, in_columns: bool) -> None:
    """At each mark the book offers exactly those whose health is below 1, and counts every band."""
    at_risk_milli = crowd[0].at_risk_milli
    book = book_of(crowd, at_risk_milli, in_columns=in_columns)
    lines = [(number, each.holding, line_usd(each.holding, Fraction(1))) for number, each in enumerate(crowd)]
    at_risk = [(each.holding, line_usd(each.holding, Fraction(at_risk_milli, 1000))) for each in crowd]
    for turn, mark in enumerate(marks):
        expected = {number for number, holding, line in lines if is_past(holding, line, mark)}
        offered = [int.from_bytes(bytes(address), "big") for address in book.crossed(price_at(mark))]
        found = set(offered)
        assert len(found) == len(offered)
        if mark < THRESHOLD_MAX:
            assert found == expected, (mark, found ^ expected)
        else:
            assert found >= expected, (mark, expected - found)
        if turn % 16:
            continue
        bands = symbol_risk(book, price_at(mark)).bands
        assert bands.monitored == len(crowd)
        if mark < THRESHOLD_MAX:
            below = sum(is_past(holding, line, mark) for holding, line in at_risk)
            assert (bands.liquidatable, bands.at_risk) == (len(expected), below - len(expected))
            assert (bands.healthy, bands.unknown) == (len(crowd) - below, 0)


def run(cases: int, seed: int) -> Counter[str]:
    """So many cases of everything above; names the case that fails."""
    decided: Counter[str] = Counter()
    rng = Random(seed + 1)
    crowd: list[Situation] = []
    for situation in situations(seed, cases):
        sol_price_e6 = max(1, sized(rng))
        try:
            check_lines(situation)
            for mark in situation.marks_e6:
                decided[check_decision(situation.holding, mark, sol_price_e6, situation.at_risk_milli)] += 1
        except AssertionError:
            print(f"seed {seed}, case {decided.total()}: {situation}, SOL {sol_price_e6}")
            raise
        crowd.append(situation)
        if len(crowd) == CROWD:
            marks = [mark for each in crowd for mark in each.marks_e6]
            check_book(crowd, marks, in_columns=decided.total() % 2 == 0)
            crowd = []
        if decided.total() >= cases:
            break
    return decided


def test_decisions_amounts_fees_debts_and_thresholds_are_those_of_the_formulas() -> None:
    decided = run(FEW, SEED)
    assert decided.total() >= FEW
    assert min(decided[kind] for kind in ("hold", "full", "partial")) > FEW // 20


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_not_one_of_a_million_decisions_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    decided = run(MANY, SEED + 100)
    assert decided.total() >= MANY
    with capsys.disabled():
        print(f"\ndecisions checked: {decided.total():,}, wrong: 0, of them {dict(decided)}")


u64s = st.integers(0, 64).flatmap(lambda bits: st.integers(0, 2**bits - 1))


@settings(
    max_examples=600,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    is_long=st.booleans(),
    size=u64s.filter(bool),
    collateral=u64s,
    entry=u64s,
    leverage=st.integers(1, 1000),
    mark=u64s.filter(bool),
    sol=u64s.filter(bool),
)
def test_any_position_at_any_mark_is_decided_as_the_formulas_say(
    is_long: bool, size: int, collateral: int, entry: int, leverage: int, mark: int, sol: int
) -> None:
    holding = Holding(is_long, size, collateral, entry, leverage)
    check_decision(holding, mark, sol, 1300)
    check_lines(Situation(holding, 1300, ()))


def test_every_leverage_of_a_u16_has_its_ratio_or_none_and_without_one_nothing_is_decided() -> None:
    holding = Holding(True, 10**6, 0, 10**8, 1)
    for leverage in range(2**16):
        ratio = maintenance(leverage)
        if ratio is not None:
            assert Fraction(margin.maintenance_bps(leverage), 10_000) == ratio
            continue
        with pytest.raises(margin.UnsupportedLeverage):
            margin.maintenance_bps(leverage)
        position = position_of(Holding(*(*vars(holding).values(),)[:4], leverage), 1)
        assert decide(position, price_at(1)).action is Action.HOLD
    book = Book([SYMBOL], 1300)
    for number, leverage in enumerate((0, 1001, 2**16 - 1)):
        position = position_of(Holding(True, 10**6, 0, 10**8, leverage), number)
        book.apply(position)
        assert book.unknown_reason(position.address) == NO_MAINTENANCE
    assert book.crossed(price_at(1)) == []


def test_a_mark_is_the_price_truncated_to_a_millionth() -> None:
    rng = Random(SEED)
    for _ in range(20_000):
        raw, exponent = sized(rng, 63) % 2**63, rng.randint(-20, 8)
        expected = mark_e6(raw, exponent) if -18 <= exponent <= 6 else U64_MAX + 1
        if expected > U64_MAX:
            with pytest.raises(AccountRefused):
                to_e6(raw, exponent)
        else:
            assert to_e6(raw, exponent) == expected


def test_a_symbol_whose_price_is_not_ok_decides_nobody() -> None:
    holding = Holding(True, 10**6, 0, 10**8, 10)
    crowd = [Situation(holding, 1300, (1,))]
    book = book_of(crowd, 1300, in_columns=True)
    assert len(book.crossed(price_at(1))) == 1
    for verdict in set(Verdict) - {Verdict.OK}:
        assert book.crossed(price_at(1, verdict)) == []
        assert decide(position_of(holding, 0), price_at(1, verdict)).action is Action.HOLD
