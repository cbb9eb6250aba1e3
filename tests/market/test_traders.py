"""Traders who top up and leave: each in a way of their own, by signed transactions, the same in every run."""

from __future__ import annotations

from typing import Any

import pytest
from market_square import Square
from market_town import terms_of

from engine.protocol.events import CollateralAddedEvent, PositionClosedEvent
from engine.protocol.margin import health_at, is_below
from engine.sandbox.cluster.ledger.leader import Fate
from engine.sandbox.market.roster import Roster
from engine.sandbox.market.traders import CARELESS_SHARE, LINE_MILLI, Traders

OFTEN = 30_000.0  # a minute: 200 in each tick


def traders_of(square: Square) -> Traders:
    return Traders(square.market._venue())


def trader_number(square: Square, event: CollateralAddedEvent | PositionClosedEvent) -> int:
    addresses = list(square.market._population.trader_addresses())
    return addresses.index(event.owner)


def test_positions_below_their_traders_lines_are_topped_up_to_the_targets_and_no_others() -> None:
    square = Square(positions=400, top_ups_per_minute=OFTEN)
    square.fall(10)
    before = square.positions()
    square.tick()
    habits = {number: traders_of(square).habits(number) for number in range(240)}
    events = square.events("add_collateral")
    assert len(events) > 10
    topped_up = set()
    for event in events:
        assert isinstance(event, CollateralAddedEvent)
        line_milli, target_milli = habits[trader_number(square, event)]
        position = before[event.position]
        mark_e6 = square.market.marks_e6()[position.symbol]
        assert is_below(square.health(position), line_milli)
        after = square.positions()[event.position]
        assert not is_below(square.health(after), target_milli)
        barely_less = terms_of(after).__class__(
            after.side, after.size_e6, after.entry_price_e6, after.collateral_e6 - 1, after.leverage
        )
        assert is_below(health_at(barely_less, mark_e6), target_milli)
        topped_up.add(event.position)
    assert len(topped_up) == len(events)
    assert all(each.fault is None for each in square.landed("add_collateral"))


def test_traders_differ_and_some_never_top_up() -> None:
    traders = traders_of(Square(positions=1))
    habits = [traders.habits(number) for number in range(600)]
    careless = [each for each in habits if each == (0, 0)]
    assert abs(len(careless) / 600 - CARELESS_SHARE) < 0.06
    lines = {each.line_milli for each in habits if each != (0, 0)}
    assert len(lines) > 150
    assert LINE_MILLI[0] <= min(lines) < max(lines) <= LINE_MILLI[1]
    assert all(each.target_milli > each.line_milli for each in habits if each != (0, 0))


def test_nobody_tops_up_what_has_no_equity_left() -> None:
    square = Square(positions=300, top_ups_per_minute=OFTEN)
    square.fall(30)
    doomed = {address for address, each in square.positions().items() if square.health(each).equity_e12 <= 0}
    square.tick(3)
    topped_up = {event.position for event in square.events("add_collateral")}  # type: ignore[union-attr]
    assert len(doomed) > 20
    assert topped_up
    assert not doomed & topped_up


def test_a_position_in_danger_may_be_rescued_although_it_is_liquidatable_already() -> None:
    square = Square(positions=400, top_ups_per_minute=OFTEN)
    square.fall(10)
    endangered = square.liquidatable()
    square.tick()
    rescued = {event.position for event in square.events("add_collateral")} & endangered  # type: ignore[union-attr]
    assert rescued
    assert not rescued & square.liquidatable()


def test_positions_are_closed_at_will_their_rent_returns_and_only_healthy_ones_go() -> None:
    square = Square(positions=100, closings_per_minute=600.0)
    square.fall(20)
    doomed = square.liquidatable()
    before = square.positions()
    assert doomed
    square.tick(5)
    events = square.events("close_position")
    assert 15 <= len(events) <= 20
    for event in events:
        assert isinstance(event, PositionClosedEvent)
        assert event.position not in doomed
        assert square.ledger.account(event.position) is None
        assert before[event.position].owner == event.owner
    assert len(square.positions()) == 100 - len(events) == len(square.market.roster)
    assert square.figure("closings_sent") == len(square.landed("close_position")) == len(events)


@pytest.mark.parametrize(
    ("setting", "name", "figure", "at_least"),
    [
        ("closings_per_minute", "close_position", "closings_sent", 20),
        ("top_ups_per_minute", "add_collateral", "top_ups_sent", 5),  # not everybody needs one
    ],
)
def test_the_behaviour_says_how_often_and_zero_is_never(
    setting: str, name: str, figure: str, at_least: int
) -> None:
    for per_minute, lowest, highest in ((0.0, 0, 0), (75.0, at_least, 40)):
        square = Square(positions=300, **{setting: per_minute})
        for permille in range(0, 30, 5):
            square.fall(permille)
            square.tick(10)
        assert lowest <= square.figure(figure) <= highest
        assert len(square.landed(name)) == square.figure(figure)


def test_an_owner_does_not_act_twice_while_the_first_transaction_is_on_its_way() -> None:
    square = Square(positions=3, closings_per_minute=OFTEN, top_ups_per_minute=OFTEN)
    square.leader.fate = lambda _: Fate(delay_slots=10)
    square.fall(3)
    square.tick(5)
    assert square.figure("closings_sent") + square.figure("top_ups_sent") <= 3


def test_equal_seeds_make_equal_decisions_and_another_seed_makes_others() -> None:
    def lived_through(seed: int) -> list[Any]:
        square = Square(positions=200, seed=seed, closings_per_minute=60.0, top_ups_per_minute=600.0)
        for permille in (8, 16, 4, -10, 30):
            square.fall(permille)
            square.tick(4)
        calls = [*square.landed("close_position"), *square.landed("add_collateral")]
        assert len(calls) > 20
        return [(each.slot, each.signature) for each in calls] + list(square.positions().items())

    assert lived_through(7) == lived_through(7)
    assert lived_through(7) != lived_through(8)


def test_a_tick_looks_at_a_few_positions_and_never_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    square = Square(positions=300, closings_per_minute=150.0, top_ups_per_minute=150.0)
    looks = 0

    def refuse(roster: Roster) -> Any:
        raise AssertionError("a tick went through the whole roster")

    real = Roster.pick

    def pick(roster: Roster, rng: Any) -> Any:
        nonlocal looks
        looks += 1
        return real(roster, rng)

    monkeypatch.setattr(Roster, "__iter__", refuse)
    monkeypatch.setattr(Roster, "pick", pick)
    square.tick(10)
    assert 10 <= looks <= 10 * (40 + 8)
