"""The program's arithmetic is the engine's to the last unit, over the whole range of its integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol import instructions, margin
from engine.protocol.accounts import AccountRefused
from engine.protocol.addresses import insurance_fund_address, position_address
from engine.protocol.program_errors import ProgramError
from engine.protocol.pyth import to_e6

U64_MAX = 2**64 - 1
ADDRESS = Pubkey.from_bytes(bytes([9] * 32))
OWNER = Pubkey.from_bytes(bytes([8] * 32))
EDGES = (0, 1, 2, 10**6, 10**9, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, U64_MAX - 1, U64_MAX)
MOST_COMPUTE_UNITS = 12_000  # what docs/program.md promises
LEVERAGES = (1, 20, 21, 50, 51, 100, 101, 500, 501, 1000)

# Every bit length alike: uniform numbers would nearly all be of the largest magnitude.
u64s = st.one_of(st.sampled_from(EDGES), st.integers(0, 64).flatmap(lambda bits: st.integers(0, 2**bits - 1)))
leverages = st.one_of(st.sampled_from(LEVERAGES), st.integers(1, 1000))


@dataclass(frozen=True)
class RawPrice:
    """A Pyth price and its exponent."""

    price: int
    exponent: int


def raw_of(mark_e6: int) -> RawPrice:
    """A Pyth price that gives about this mark; beyond 2^63 the last digit cannot be kept."""
    mark_e6 = min(max(mark_e6, 1), U64_MAX)
    return RawPrice(mark_e6, -6) if mark_e6 < 2**63 else RawPrice(mark_e6 // 10, -5)


raw_prices = st.integers(0, 63).flatmap(lambda bits: st.integers(2**bits, 2 ** (bits + 1) - 1)).map(raw_of)
# Many of these are below one micro-dollar or above a u64.
scaled_prices = st.builds(
    RawPrice,
    st.integers(0, 62).flatmap(lambda bits: st.integers(2**bits, 2 ** (bits + 1) - 1)),
    st.integers(-18, 6),
)


@dataclass(frozen=True)
class Case:
    """Everything that a liquidation reads."""

    terms: margin.Terms
    price: RawPrice
    sol_price: RawPrice
    amount_e6: int | None
    fund_balance: int
    fund_covered: int
    fund_contributions: int
    spare_lamports: int


@st.composite
def near_the_threshold(draw: st.DrawFn) -> tuple[margin.Terms, RawPrice]:
    """Terms of any magnitude with a mark at, between or beyond where liquidation begins and equity ends."""
    side = draw(st.sampled_from(Side))
    leverage = draw(leverages)
    size = draw(st.integers(1, 64).flatmap(lambda bits: st.integers(1, 2**bits - 1)))
    entry = draw(st.integers(1, 62).flatmap(lambda bits: st.integers(1, 2**bits - 1)))
    share = draw(st.sampled_from((1, 2, leverage, 2 * leverage, 100 * leverage)))
    collateral = min(U64_MAX, size * entry // (10**6 * share) + draw(st.integers(0, 3)))
    terms = margin.Terms(side, size, entry, collateral, leverage)
    move = collateral * 10**6 // size
    no_equity = entry - move if side is Side.LONG else entry + move
    threshold = margin.threshold_e6(terms)
    low, high = sorted((no_equity, threshold))
    beyond = st.integers(0, max(0, low)) if side is Side.LONG else st.integers(high, 2 * high + 1)
    mark = draw(
        st.one_of(
            st.sampled_from((no_equity, threshold)), st.integers(low, high), st.integers(low, high), beyond
        )
    )
    return terms, raw_of(mark + draw(st.integers(-2, 2)))


wild_terms = st.builds(margin.Terms, st.sampled_from(Side), u64s.filter(bool), u64s, u64s, leverages)
situations = st.one_of(
    near_the_threshold(),
    near_the_threshold(),
    st.tuples(wild_terms, raw_prices),
    st.tuples(wild_terms, scaled_prices),
)
sol_prices = st.one_of(st.just(RawPrice(150_000_000, -6)), raw_prices, raw_prices, scaled_prices)
# Lamports stay below 2^60 in balances: the VM's own capitalization is a u64, too.
lamports = st.integers(0, 60).flatmap(lambda bits: st.integers(0, 2**bits - 1))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    terms, price = draw(situations)
    size = terms.size_e6
    amount = draw(
        st.one_of(st.none(), st.integers(1, size), st.sampled_from((0, 1, size - 1, size, U64_MAX)))
    )
    suggested = suggested_amount(terms, price)
    if amount is not None and suggested is not None and draw(st.booleans()):
        amount = min(suggested, size - 1)
    return Case(
        terms,
        price,
        draw(sol_prices),
        amount,
        draw(lamports),
        draw(u64s),
        draw(u64s),
        draw(lamports),
    )


def suggested_amount(terms: margin.Terms, price: RawPrice) -> int | None:
    """What the engine itself would close in part, where it would."""
    try:
        mark_e6 = to_e6(price.price, price.exponent)
    except AccountRefused:
        return None
    if mark_e6 == 0:
        return None
    return margin.partial_amount_e6(terms.size_e6, margin.health_at(terms, mark_e6), mark_e6) or None


@dataclass(frozen=True)
class End:
    """What the chain must look like after a liquidation that succeeds."""

    size_e6: int
    collateral_e6: int
    maintenance_margin_e6: int
    reward_lamports: int
    bad_debt_lamports: int
    covered_lamports: int
    deposit_lamports: int
    utilization_bps: int


class Refused(Exception):
    """The program must end with this error."""

    def __init__(self, code: ProgramError) -> None:
        super().__init__(code.name)
        self.code = code


def fitting(value: int) -> int:
    if value > U64_MAX:
        raise Refused(ProgramError.Overflow)
    return value


def mark_of(price: RawPrice) -> int:
    try:
        mark_e6 = to_e6(price.price, price.exponent)
    except AccountRefused:
        raise Refused(ProgramError.Overflow) from None
    if mark_e6 == 0:
        raise Refused(ProgramError.DivisionByZero)
    return mark_e6


def expect(case: Case, position_lamports: int) -> End:
    """The specification, in the engine's own arithmetic; raises Refused."""
    terms = case.terms
    mark_e6, sol_e6 = mark_of(case.price), mark_of(case.sol_price)
    health = margin.health_at(terms, mark_e6)
    if not margin.is_liquidatable(health):
        raise Refused(ProgramError.PositionNotLiquidatable)
    if case.amount_e6 is None:
        return expect_full(case, margin.settle_full(terms, mark_e6), sol_e6, position_lamports)
    if not 0 < case.amount_e6 < terms.size_e6:
        raise Refused(ProgramError.InvalidLiquidationAmount)
    settled = margin.settle_partial(terms, mark_e6, case.amount_e6)
    is_solvent = health.equity_e12 > 0 and settled.fee_e6 * 10**6 <= health.equity_e12
    if not is_solvent or settled.remaining_collateral_e6 < 0:
        raise Refused(ProgramError.InvalidLiquidationAmount)
    return End(
        size_e6=settled.remaining_size_e6,
        collateral_e6=fitting(settled.remaining_collateral_e6),
        maintenance_margin_e6=fitting(
            margin.maintenance_margin_e6(settled.remaining_size_e6, terms.entry_price_e6, terms.leverage)
        ),
        reward_lamports=fitting(margin.lamports_floor(settled.fee_e6, sol_e6)),
        bad_debt_lamports=0,
        covered_lamports=0,
        deposit_lamports=0,
        utilization_bps=0,
    )


def expect_full(case: Case, settled: margin.Settlement, sol_e6: int, position_lamports: int) -> End:
    bad_debt = fitting(margin.lamports_ceil(settled.bad_debt_e6, sol_e6))
    covered = min(bad_debt, case.fund_balance)
    return End(
        size_e6=0,
        collateral_e6=0,
        maintenance_margin_e6=0,
        reward_lamports=fitting(margin.lamports_floor(settled.fee_e6, sol_e6)),
        bad_debt_lamports=bad_debt,
        covered_lamports=covered,
        deposit_lamports=min(position_lamports, margin.lamports_floor(settled.to_fund_e6, sol_e6)),
        utilization_bps=fitting(
            margin.utilization_bps(fitting(case.fund_covered + covered), case.fund_contributions)
        ),
    )


def plant(chain: Any, case: Case) -> Position:
    terms = case.terms
    planted = Position(
        address=ADDRESS,
        owner=OWNER,
        symbol="BTC/USD",
        side=terms.side,
        size_e6=terms.size_e6,
        collateral_e6=terms.collateral_e6,
        entry_price_e6=terms.entry_price_e6,
        leverage=terms.leverage,
        maintenance_margin_e6=12345,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DEPLOYED if terms.side is Side.LONG else Generation.DOCUMENTED,
        slot=0,
    )
    size = 85 if terms.side is Side.LONG else 120
    chain.plant_position(planted, lamports=chain.rent(size) + case.spare_lamports)
    chain.plant_fund(case.fund_balance, case.fund_contributions, case.fund_covered)
    chain.set_price("BTC/USD", case.price.price, exponent=case.price.exponent)
    chain.set_price("SOL/USD", case.sol_price.price, exponent=case.sol_price.exponent)
    return planted


def check_partial(chain: Any, case: Case, planted: Position, end: End) -> None:
    assert chain.position(ADDRESS) == replace(
        planted,
        size_e6=end.size_e6,
        collateral_e6=end.collateral_e6,
        maintenance_margin_e6=end.maintenance_margin_e6,
    )
    assert chain.fund().balance_lamports == case.fund_balance


def check_full(chain: Any, case: Case, end: End, payer_change: int, position_lamports: int) -> None:
    balance = case.fund_balance - end.covered_lamports + end.deposit_lamports
    fund = chain.fund()
    assert chain.svm.get_account(ADDRESS) is None
    assert fund.balance_lamports == balance
    assert fund.total_bad_debt_covered_lamports == case.fund_covered + end.covered_lamports
    assert fund.utilization_ratio_bps == end.utilization_bps
    assert chain.lamports(insurance_fund_address()) == chain.rent(73) + balance
    assert payer_change == position_lamports - end.deposit_lamports + end.covered_lamports


@settings(
    max_examples=1500,  # a hundred thousand: test_case_by_case.py
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(case=cases())
def test_a_liquidation_ends_exactly_as_the_engines_arithmetic_says(shared_chain: Any, case: Case) -> None:
    chain = shared_chain
    planted = plant(chain, case)
    held, before = chain.lamports(ADDRESS), chain.lamports(chain.payer.pubkey())
    result = chain.send(chain.liquidation(ADDRESS, "BTC/USD", case.amount_e6))
    assert result.compute_units < MOST_COMPUTE_UNITS
    try:
        end = expect(case, held)
    except Refused as refused:
        event(refused.code.name)
        assert (result.code, result.name) == (refused.code.value, refused.code.name), result.logs
        return
    event("full" if case.amount_e6 is None else "partial")
    assert result.error == "", result.logs
    (liquidated,) = result.events
    assert liquidated.liquidation_price_e6 == mark_of(case.price)
    assert liquidated.liquidator_reward_lamports == end.reward_lamports
    assert liquidated.bad_debt_lamports == end.bad_debt_lamports
    assert liquidated.liquidated_size_e6 == (case.amount_e6 or case.terms.size_e6)
    assert liquidated.is_full == (case.amount_e6 is None)
    if case.amount_e6 is None:
        change = chain.lamports(chain.payer.pubkey()) - before + result.fee_lamports
        check_full(chain, case, end, change, held)
    else:
        check_partial(chain, case, planted, end)


@settings(
    max_examples=600,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(size=u64s.filter(bool), entry=u64s, leverage=leverages)
def test_a_new_position_records_exactly_the_engines_maintenance_margin(
    shared_chain: Any, size: int, entry: int, leverage: int
) -> None:
    chain = shared_chain
    owner = chain.payer.pubkey()
    address = position_address(owner, "BTC/USD")
    chain.plant(address, b"", owner=Pubkey.default(), lamports=0)
    call = instructions.open_position(
        owner, "BTC/USD", size_e6=size, collateral_e6=1, entry_price_e6=entry, leverage=leverage
    )
    result = chain.send(call)
    expected = margin.maintenance_margin_e6(size, entry, leverage)
    if expected > U64_MAX:
        assert result.code == ProgramError.Overflow
    else:
        assert result.error == "", result.logs
        assert chain.position(address).maintenance_margin_e6 == expected


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("leverage", LEVERAGES)
def test_liquidation_begins_at_exactly_the_threshold_price(
    shared_chain: Any, side: Side, leverage: int
) -> None:
    """At the threshold the program liquidates, one micro-dollar before it the program refuses."""
    chain = shared_chain
    terms = margin.Terms(side, 7_654_321, 98_765_432_109, 756_161_613_000 // leverage, leverage)
    threshold = margin.threshold_e6(terms)
    step = 1 if side is Side.LONG else -1
    plain = RawPrice(150_000_000, -6)
    for mark_e6, code in ((threshold + step, 6004), (threshold, None)):
        if mark_e6 < 1:
            continue  # a long at 1x, all of it paid for, has no price at which it could be liquidated
        plant(chain, Case(terms, RawPrice(mark_e6, -6), plain, None, 0, 0, 0, 0))
        assert chain.send(chain.liquidation(ADDRESS, "BTC/USD")).code == code
