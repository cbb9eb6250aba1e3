"""The roster follows the ledger: who enters, who goes, who comes back."""

from __future__ import annotations

from random import Random

import pytest
from market_town import Town
from solders.account import Account
from solders.pubkey import Pubkey

from engine.domain import Generation
from engine.protocol.addresses import FEEDS, PROGRAM_ID
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market import roster as roster_module
from engine.sandbox.market.roster import Holding, Roster

SYMBOLS, GENERATIONS = list(FEEDS), list(Generation)


def holding(number: int) -> Holding:
    address = Pubkey.from_bytes(number.to_bytes(32, "little"))
    return Holding(address, number * 3, SYMBOLS[number % 3], GENERATIONS[number % 2])


def on_chain(lamports: int = 1) -> Account:
    return Account(lamports, b"position", PROGRAM_ID)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(Genesis.from_seed(b"a roster"), lambda: 1_700_000_000.0)


@pytest.fixture
def roster(ledger: Ledger) -> Roster:
    return Roster(ledger)


def test_an_expected_holding_enters_when_its_account_appears_and_goes_with_it(
    ledger: Ledger, roster: Roster
) -> None:
    one = holding(7)
    roster.expect(one)
    assert len(roster) == 0 and roster.get(one.address) is None
    ledger.set_account(one.address, on_chain())
    assert list(roster) == [one] and one.address in roster and roster.entered == 1
    ledger.set_account(one.address, on_chain(2))
    assert list(roster) == [one] and roster.entered == 1
    ledger.set_account(one.address, on_chain(0))
    assert list(roster) == [] and one.address not in roster and roster.entered == 1


def test_strangers_are_not_in_it(ledger: Ledger, roster: Roster) -> None:
    ledger.set_account(holding(1).address, on_chain())
    assert len(roster) == 0


def test_what_went_and_is_there_again_is_the_same_holding(ledger: Ledger, roster: Roster) -> None:
    ledger.set_account(holding(4).address, on_chain())
    roster.enter(holding(4))
    ledger.set_account(holding(4).address, on_chain(0))
    ledger.set_account(holding(4).address, on_chain())
    assert list(roster) == [holding(4)] and roster.entered == 1


def test_any_order_of_comings_and_goings_leaves_those_that_are_there(ledger: Ledger, roster: Roster) -> None:
    rng, there = Random(5), set()
    for number in range(200):
        roster.expect(holding(number))
    for _ in range(3_000):
        number = rng.randrange(200)
        ledger.set_account(holding(number).address, on_chain(0 if number in there else 1))
        there ^= {number}
    assert sorted(h.trader for h in roster) == sorted(3 * number for number in there)
    assert all(roster.get(holding(n).address) == holding(n) for n in there)
    assert len(roster) == len(there)


def test_a_pick_finds_every_holding_and_nothing_in_an_empty_roster(roster: Roster) -> None:
    rng = Random(1)
    assert roster.pick(rng) is None
    for number in range(20):
        roster.enter(holding(number))
    assert {roster.pick(rng) for _ in range(500)} == {holding(number) for number in range(20)}


def test_what_it_waits_for_is_bounded(
    ledger: Ledger, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster_module, "REMEMBERED", 3)
    for number in range(5):
        roster.expect(holding(number))
    for number in range(5):
        ledger.set_account(holding(number).address, on_chain())
    assert list(roster) == [holding(number) for number in (2, 3, 4)]


def test_the_roster_of_a_market_is_what_its_chain_holds() -> None:
    town = Town(positions=50, genesis_positions=20).open()
    town.market.start()
    town.slots(300)
    for address in list(town.position_accounts())[::7]:
        town.ledger.set_account(address, on_chain(0))
    assert {h.address for h in town.market.roster} == set(town.position_accounts())
    for position in town.positions():
        mine = town.market.roster.get(position.address)
        assert mine is not None and (mine.symbol, mine.generation) == (position.symbol, position.generation)
