"""The traders' positions, judged by the exact margin arithmetic at the start and along a crash."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from solders.hash import Hash
from solders.transaction import Transaction

from engine.domain import Action, Generation, Side
from engine.protocol.addresses import PROGRAM_ID
from engine.protocol.instructions import Name, instruction_name
from engine.protocol.margin import (
    Terms,
    choose_action,
    health_at,
    is_below,
    is_liquidatable,
    settle_full,
    settle_partial,
)
from engine.protocol.pyth import to_e6
from engine.sandbox.market.population import Population, collateral_for_health_e6
from engine.sandbox.market.prices import EXPONENT, INSTRUMENTS, CalmPath, CrashPath
from engine.sandbox.market.transactions import opening_transaction, position_of

START_E6 = {symbol: to_e6(instrument.start_raw, EXPONENT) for symbol, instrument in INSTRUMENTS.items()}


def population(seed: int, positions: int = 1000) -> Population:
    return Population(seed, positions, START_E6)


class Liquidations:
    """An ideal liquidator that settles whatever each tick makes liquidatable, by the exact arithmetic."""

    def __init__(self, drawn: Population) -> None:
        self.open: dict[int, tuple[str, Terms]] = {
            number: (opening.symbol, opening.terms) for number, opening in enumerate(drawn.openings())
        }
        self.actions: Counter[Action] = Counter()
        self.touched: set[int] = set()
        self.bad_debt_e6 = 0

    def at(self, mark_e6: dict[str, int]) -> None:
        for number, (symbol, terms) in list(self.open.items()):
            mark = mark_e6[symbol]
            action, amount_e6, _ = choose_action(terms.size_e6, health_at(terms, mark), mark)
            if action is Action.HOLD:
                continue
            self.actions[action] += 1
            self.touched.add(number)
            if action is Action.FULL:
                self.bad_debt_e6 += settle_full(terms, mark).bad_debt_e6
                del self.open[number]
                continue
            left = settle_partial(terms, mark, amount_e6)
            self.open[number] = (
                symbol,
                Terms(
                    terms.side,
                    left.remaining_size_e6,
                    terms.entry_price_e6,
                    left.remaining_collateral_e6,
                    terms.leverage,
                ),
            )


def liquidate_along(
    seed: int, kind: type[CalmPath] | type[CrashPath], ticks: int, positions: int = 1000
) -> Liquidations:
    paths = {symbol: kind(seed, instrument) for symbol, instrument in INSTRUMENTS.items()}
    liquidations = Liquidations(population(seed, positions))
    for _ in range(ticks):
        liquidations.at({symbol: to_e6(path.advance(), EXPONENT) for symbol, path in paths.items()})
    return liquidations


def test_the_same_seed_gives_the_same_population_and_another_seed_another() -> None:
    drawn = population(4)
    assert list(drawn.openings()) == list(drawn.openings()) == list(population(4).openings())
    assert list(drawn.openings()) != list(population(5).openings())
    assert population(4).trader_key(3) == population(4).trader_key(3) != population(5).trader_key(3)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_liquidatable_at_the_start_but_many_positions_are_at_risk(seed: int) -> None:
    health = [health_at(o.terms, START_E6[o.symbol]) for o in population(seed).openings()]
    assert not any(map(is_liquidatable, health))
    assert 25 <= sum(is_below(one, 1300) for one in health) <= 120


def test_leverage_is_mostly_low_with_a_tail_to_1000_and_every_tier_is_there() -> None:
    leverages = [o.leverage for o in population(1, 20_000).openings()]
    assert 0.76 < sum(leverage <= 20 for leverage in leverages) / 20_000 < 0.84
    for lowest, highest in ((1, 20), (21, 50), (51, 100), (101, 500), (501, 1000)):
        assert sum(lowest <= leverage <= highest for leverage in leverages) > 150
    assert (min(leverages), max(leverages)) == (1, 1000)


def test_notional_is_log_normal_around_5000_usd_and_spreads_over_symbols_sides_and_generations() -> None:
    openings = list(population(2, 10_000).openings())
    notional_usd = sorted(o.size_e6 * o.entry_price_e6 / 10**12 for o in openings)
    assert 4_600 < notional_usd[5_000] < 5_400
    assert 14_000 < notional_usd[8_413] < 16_000  # one sigma up: 5000 * e^1.1
    assert notional_usd[0] > 49
    symbols = Counter(o.symbol for o in openings)
    assert symbols["SOL/USD"] > symbols["BTC/USD"] > symbols["ETH/USD"] > 2_000
    kinds = Counter((o.generation, o.side) for o in openings)
    assert set(kinds) == {
        (Generation.DEPLOYED, Side.LONG),
        (Generation.DOCUMENTED, Side.LONG),
        (Generation.DOCUMENTED, Side.SHORT),
    }
    assert min(kinds.values()) > 2_000


def test_a_position_of_1000x_carries_a_surplus_over_its_initial_margin() -> None:
    extreme = [o for o in population(1, 20_000).openings() if o.leverage == 1000]
    assert len(extreme) > 20
    for opening in extreme:
        assert opening.collateral_e6 * 1000 * 10**6 > opening.size_e6 * opening.entry_price_e6


def test_every_address_is_used_once() -> None:
    drawn = population(3)
    addresses = [position_of(drawn, opening, PROGRAM_ID) for opening in drawn.openings()]
    assert len(set(addresses)) == len(addresses) == 1000


def test_an_opening_is_signed_by_its_trader_and_calls_the_instruction_of_its_generation() -> None:
    drawn = population(3, 40)
    seen = set()
    for opening in drawn.openings():
        raw = opening_transaction(drawn, opening, Hash.new_unique(), 7, PROGRAM_ID)
        transaction = Transaction.from_bytes(raw)
        transaction.verify()
        assert transaction.message.account_keys[0] == drawn.trader_key(opening.trader).pubkey()
        name = instruction_name(transaction.message.instructions[-1].data)
        expected = Name.OPEN_POSITION if opening.generation is Generation.DEPLOYED else Name.CREATE_POSITION
        assert name is expected
        seen.add(name)
    assert len(seen) == 2


def test_a_newcomer_depends_on_its_tick_and_its_prices_alone_and_is_not_liquidatable() -> None:
    drawn, again = population(6, 50), population(6, 50)
    drawn.newcomer(1, START_E6)
    for tick in range(2, 300):
        newcomer = drawn.newcomer(tick, START_E6)
        assert newcomer == again.newcomer(tick, START_E6)
        assert not is_liquidatable(health_at(newcomer.terms, START_E6[newcomer.symbol]))
    assert drawn.newcomer(2, START_E6).terms != drawn.newcomer(3, START_E6).terms


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("leverage", [3, 40, 333, 1000])
def test_collateral_for_a_health_is_exact_to_the_unit(side: Side, leverage: int) -> None:
    bare = Terms(side, 33_333_333, 151_234_567, 0, leverage)
    losing_e6 = 150_000_001 if side is Side.LONG else 152_000_001
    needed = collateral_for_health_e6(bare, losing_e6, 1_040)
    enough = Terms(side, bare.size_e6, bare.entry_price_e6, needed, leverage)
    short = Terms(side, bare.size_e6, bare.entry_price_e6, needed - 1, leverage)
    assert not is_below(health_at(enough, losing_e6), 1_040)
    assert is_below(health_at(short, losing_e6), 1_040)


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_a_crash_makes_a_good_share_liquidatable_fully_partially_and_with_bad_debt(seed: int) -> None:
    crash = liquidate_along(seed, CrashPath, 75)
    assert 350 <= len(crash.touched) <= 750
    assert crash.actions[Action.FULL] > 200
    assert crash.actions[Action.PARTIAL] > 500
    assert crash.bad_debt_e6 > 0


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_a_calm_market_liquidates_a_few_and_leaves_nearly_all_alone(seed: int) -> None:
    calm = liquidate_along(seed, CalmPath, 750, positions=300)
    assert 3 <= len(calm.touched) <= 40
    touched = [o.leverage for n, o in enumerate(population(seed, 300).openings()) if n in calm.touched]
    assert sorted(touched)[len(touched) // 2] >= 20


@pytest.mark.parametrize(
    ("seed", "positions", "digest"),
    [
        (1, 500, "5f093603d9f4548b22be7ea0d5755730945b01cf1d159a575858e16e6ecd8743"),
        (7, 3000, "52cdb1c2c2f3e5dad0df7f068346aa6c1ecec761c31fbbecb56cb04395b61080"),
    ],
)
def test_the_populations_of_earlier_releases_are_still_drawn(seed: int, positions: int, digest: str) -> None:
    drawn = [
        (
            o.trader,
            o.account,
            o.symbol,
            o.side.value,
            o.size_e6,
            o.entry_price_e6,
            o.collateral_e6,
            o.leverage,
        )
        for o in population(seed, positions).openings()
    ]
    assert hashlib.sha256(repr(drawn).encode()).hexdigest() == digest
