"""Positions of the genesis: as many as asked for, with the bytes that a signed transaction makes."""

from __future__ import annotations

import pytest
from market_town import Town, terms_of
from solders.account import Account

from engine.domain import Generation
from engine.protocol.addresses import FEEDS, PROGRAM_ID
from engine.protocol.margin import health_at, is_liquidatable
from engine.sandbox.market import plan as plan_module
from engine.sandbox.market.market import TRADER_LAMPORTS
from engine.sandbox.market.population import Opening, Population
from engine.sandbox.market.roster import Holding
from engine.sandbox.market.scenarios import Scenario, price_paths
from engine.sandbox.market.transactions import position_of

POSITIONS = 150


def openings(town: Town, positions: int) -> list[Opening]:
    start_e6 = {symbol: town.mark_e6(symbol) for symbol in FEEDS}
    return list(Population(7, positions, start_e6).openings())


def contents(account: Account | None) -> tuple[object, ...]:
    assert account is not None
    return account.lamports, bytes(account.data), account.owner, account.executable, account.rent_epoch


def test_every_position_of_the_genesis_is_byte_for_byte_what_its_signed_transaction_makes() -> None:
    signed, born = Town(positions=POSITIONS), Town(positions=POSITIONS, genesis_positions=POSITIONS)
    for _ in signed.market.open_positions(batch=1_000):
        pass  # no slot passes, so the clock that the program sees is that of the genesis
    drawn = openings(born, POSITIONS)
    population = Population(7, POSITIONS, {symbol: born.mark_e6(symbol) for symbol in FEEDS})
    holdings = list(born.market.roster)
    assert len(holdings) == POSITIONS
    for opening, holding in zip(drawn, holdings, strict=True):
        address = position_of(population, opening, PROGRAM_ID)
        assert contents(born.ledger.account(holding.address)) == contents(signed.ledger.account(address))
        assert (holding.address == address) == (opening.generation is Generation.DEPLOYED)
    assert {opening.generation for opening in drawn} == set(Generation)


def test_the_last_positions_are_born_and_the_first_are_signed() -> None:
    town = Town(positions=POSITIONS, genesis_positions=100)
    assert len(town.position_accounts()) == town.market.positions_genesis == 100
    town.open()
    described = town.call("sandboxMarket")
    assert (described["positions_signed"], described["positions_genesis"]) == (50, 100)
    assert described["positions_opened"] == described["positions_open"] == POSITIONS
    drawn = openings(town, POSITIONS)
    trades = {(p.symbol, p.size_e6, p.entry_price_e6, p.collateral_e6) for p in town.positions()}
    assert trades == {(o.symbol, o.size_e6, o.entry_price_e6, o.collateral_e6) for o in drawn}
    transactions = sum(len(town.ledger.history.in_slot(slot)) for slot in range(town.ledger.slot + 1))
    assert transactions == 50 + 6  # the fund's creation and five contributions


def test_unless_asked_positions_beyond_a_limit_are_born(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "SIGNED_UNLESS_ASKED", 30)
    few, many = Town(positions=30).open(), Town(positions=45).open()
    assert (few.market.positions_signed, few.market.positions_genesis) == (30, 0)
    assert (many.market.positions_signed, many.market.positions_genesis) == (30, 15)


def test_2000_positions_are_signed_unless_asked() -> None:
    paths = price_paths(Scenario.CALM, 1, {}, 10)
    for positions, signed in ((500, 500), (2_000, 2_000), (100_000, 2_000)):
        assert plan_module.MarketPlan(1, positions, Scenario.CALM, paths).signed_positions == signed


def test_more_cannot_be_born_than_there_are() -> None:
    with pytest.raises(ValueError, match="genesis_positions"):
        plan_module.MarketPlan(1, 5, Scenario.CALM, {}, genesis_positions=6)


def test_born_positions_have_owners_with_a_balance_and_none_is_liquidatable() -> None:
    town = Town(positions=400, genesis_positions=400)
    for position in town.positions():
        assert not is_liquidatable(health_at(terms_of(position), town.mark_e6(position.symbol)))
        assert town.lamports(position.owner) == TRADER_LAMPORTS


def test_the_roster_knows_whose_each_born_position_is() -> None:
    town = Town(positions=60, genesis_positions=60)
    owners = {position.address: position.owner for position in town.positions()}
    population = Population(7, 60, {symbol: town.mark_e6(symbol) for symbol in FEEDS})
    for holding in town.market.roster:
        assert isinstance(holding, Holding)
        assert population.trader_key(holding.trader).pubkey() == owners[holding.address]
