"""The market on a real ledger with the real program: what it opens, publishes, and lets others do."""

from __future__ import annotations

import pytest
from market_town import POSITIONS, Town, terms_of
from solders.account import Account
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from engine.domain import Generation
from engine.protocol.accounts import decode_fund
from engine.protocol.addresses import FEEDS, SOL_USD, SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.instructions import liquidate
from engine.protocol.margin import LAMPORTS_PER_SOL, health_at, is_liquidatable, lamports_ceil
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.rpc_errors import RpcError
from engine.sandbox.market import market as market_module
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.market import TRADER_LAMPORTS, MarketFailed
from engine.sandbox.market.population import Population
from engine.sandbox.market.scenarios import Scenario

TICKS_IN_30_S = 75
NOBODY_LEAVES = Behaviour(closings_per_minute=0.0)


def test_traders_open_every_position_of_both_generations_with_transactions_that_they_pay_for() -> None:
    town = Town().open()
    positions = town.positions()
    assert len(positions) == town.market.positions_opened == POSITIONS
    assert {position.generation for position in positions} == set(Generation)
    landed = [
        transaction
        for slot in range(town.ledger.first_slot, town.ledger.slot + 1)
        for transaction in town.ledger.history.in_slot(slot)
    ]
    assert len(landed) == POSITIONS + 6  # the fund's creation and five contributions
    assert all(transaction.fault is None for transaction in landed)
    for owner in {position.owner for position in positions}:
        rent = sum(
            account.lamports
            for account in town.position_accounts().values()
            if account.data[8:40] == bytes(owner)
        )
        assert town.lamports(owner) < TRADER_LAMPORTS - rent


def test_positions_are_on_the_chain_as_they_were_drawn_and_none_is_liquidatable() -> None:
    town = Town().open()
    start_e6 = {symbol: town.mark_e6(symbol) for symbol in FEEDS}
    drawn = Population(7, POSITIONS, start_e6).openings()
    positions = town.positions()
    assert {(p.symbol, p.generation, terms_of(p)) for p in positions} == {
        (o.symbol, o.generation, o.terms) for o in drawn
    }
    assert not any(is_liquidatable(health_at(terms_of(p), start_e6[p.symbol])) for p in positions)


def test_the_fund_is_filled_by_contributions_of_two_sol_for_each_position() -> None:
    town = Town(positions=300).open()
    address = insurance_fund_address()
    account = town.ledger.account(address)
    assert account is not None
    fund = decode_fund(account.data, town.ledger.slot)
    assert 600 * LAMPORTS_PER_SOL <= fund.balance_lamports <= 605 * LAMPORTS_PER_SOL
    assert fund.total_contributions_lamports == fund.balance_lamports
    rent = town.ledger.rent_exempt_minimum_lamports(len(account.data))
    assert account.lamports == rent + fund.balance_lamports


def test_prices_before_the_start_stand_still_and_are_fresh() -> None:
    town = Town(Scenario.CRASH).open()
    before = town.feed("SOL/USD")
    town.slots(10)
    after = town.feed("SOL/USD")
    assert after.price == before.price
    assert after.publish_time_s == town.ledger.unix_time_s == before.publish_time_s + 4
    assert before.publish_time_s < after.prev_publish_time_s <= after.publish_time_s
    assert after.posted_slot == town.ledger.slot


def test_prices_depend_on_the_tick_and_not_on_when_the_market_was_held_or_started() -> None:
    steady, interrupted = Town(Scenario.CRASH), Town(Scenario.CRASH)
    interrupted.slots(5)
    steady.market.start()
    interrupted.market.start()
    for tick in range(30):
        steady.slots(1)
        if tick % 3 == 0:
            assert interrupted.call("sandboxHoldPrices", True) is True
            interrupted.slots(2)
            assert interrupted.call("sandboxHoldPrices", False) is False
        interrupted.slots(1)
        assert steady.market.ticks == interrupted.market.ticks == tick + 1
        for symbol in FEEDS:
            assert steady.feed(symbol).price == interrupted.feed(symbol).price


def test_held_prices_stand_still_but_are_published_with_the_clock() -> None:
    town = Town(Scenario.CRASH)
    town.market.start()
    town.slots(20)
    town.call("sandboxHoldPrices", True)
    before = town.feed("BTC/USD")
    town.slots(200)
    held = town.feed("BTC/USD")
    assert (held.price, town.market.ticks) == (before.price, 20)
    assert held.publish_time_s == before.publish_time_s + 80
    town.call("sandboxHoldPrices", False)
    town.slots(1)
    assert town.feed("BTC/USD").price != before.price
    assert town.call("sandboxMarket") == {
        "positions_opened": 0,
        "positions_signed": 0,
        "positions_genesis": 0,
        "positions_open": 0,
        "scenario": "crash",
        "seed": 7,
        "ticks": 21,
        "held": False,
        "behaviour": Behaviour().model_dump(),
        "done": {"congestion_sent": 0, "top_ups_sent": 0, "closings_sent": 0, "openings_sent": 0},
        "refused": {},
    }


@pytest.mark.parametrize("parameters", [(), (1,), ("true",), (True, True)])
def test_holding_prices_takes_one_boolean(parameters: tuple[object, ...]) -> None:
    town = Town()
    with pytest.raises(RpcError, match="true or false"):
        town.call("sandboxHoldPrices", *parameters)
    assert town.market.held is False


def test_in_a_calm_market_a_few_positions_a_minute_keep_being_opened() -> None:
    town = Town(positions=20, behaviour=NOBODY_LEAVES).open()
    town.market.start()
    town.slots(10 * 150)
    newcomers = town.market.positions_opened - 20
    assert 20 <= newcomers <= 70
    assert len(town.positions()) == 20 + newcomers
    for position in town.positions():
        assert position.collateral_e6 > 0


def test_fewer_positions_are_opened_while_prices_crash() -> None:
    calm, crash = Town(positions=1), Town(Scenario.CRASH, positions=1)
    for town in (calm, crash):
        town.market.start()
        town.slots(1500)
    assert 0 < crash.market.positions_opened < calm.market.positions_opened / 2


def test_newcomers_stay_away_from_a_crowded_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_module, "MORE_THAN_AT_START", 3)
    town = Town(positions=10, behaviour=NOBODY_LEAVES).open()
    town.market.start()
    town.slots(1500)
    assert town.market.positions_opened == len(town.positions()) == 13
    for address in list(town.position_accounts())[:2]:
        town.ledger.set_account(address, Account(0, b"", SYSTEM_PROGRAM))
    town.slots(1500)
    assert (town.market.positions_opened, len(town.positions())) == (15, 13)


def test_a_trader_who_has_spent_everything_is_given_more_and_opens_again() -> None:
    town = Town(positions=10).open()
    owners = {position.owner for position in town.positions()}
    for number in range(6):
        address = Population(7, 10, dict.fromkeys(FEEDS, 10**8)).trader_key(number).pubkey()
        owners.add(address)
        town.ledger.set_account(address, Account(900_000, b"", SYSTEM_PROGRAM))
    town.market.start()
    town.slots(600)
    assert town.market.positions_opened > 15
    assert any(town.lamports(owner) > TRADER_LAMPORTS - 10**9 for owner in owners)


def test_a_market_whose_program_is_missing_says_so() -> None:
    town = Town(with_program=False)
    with pytest.raises(MarketFailed, match="insurance fund"):
        town.open()


def test_what_a_crash_made_insolvent_can_be_liquidated_by_anyone_and_the_fund_covers_the_bad_debt() -> None:
    town = Town(Scenario.CRASH).open()
    liquidator = Keypair()
    town.ledger.set_account(liquidator.pubkey(), Account(LAMPORTS_PER_SOL, b"", SYSTEM_PROGRAM))
    town.market.start()
    town.slots(TICKS_IN_30_S)
    debts_e6 = {
        position: -(health_at(terms_of(position), town.mark_e6(position.symbol)).equity_e12 // 10**6)
        for position in town.positions()
    }
    bad_debt_e6, insolvent = min(
        ((debt, position) for position, debt in debts_e6.items() if debt > 0), key=lambda pair: pair[0]
    )
    owed_lamports = lamports_ceil(bad_debt_e6, town.mark_e6("SOL/USD"))
    fund = insurance_fund_address()
    fund_before, rent = town.lamports(fund), town.lamports(insolvent.address)
    instruction = liquidate(
        insolvent.address,
        liquidator.pubkey(),
        fund=fund,
        price_account=FEEDS[insolvent.symbol].account,
        sol_price_account=SOL_USD.account,
        amount_e6=None,
    )
    blockhash = town.ledger.latest_blockhash(town.ledger.bank(Commitment.CONFIRMED)).value
    message = Message.new_with_blockhash([instruction], liquidator.pubkey(), blockhash)
    raw = bytes(Transaction([liquidator], message, blockhash))
    town.ledger.submit(raw, skip_preflight=False)
    assert town.ledger.account(insolvent.address) is None
    assert fund_before - town.lamports(fund) == owed_lamports
    assert town.lamports(liquidator.pubkey()) == LAMPORTS_PER_SOL - 5_000 + owed_lamports + rent


def test_behaviour_changes_while_the_market_runs() -> None:
    town = Town(Scenario.CRASH).open()
    town.market.start()
    town.slots(10)
    assert "rival_sent" not in town.call("sandboxMarket")["done"]
    told = town.call("sandboxMarket", {"rival_share": 1.0, "congestion": 0.3})
    assert told["behaviour"] == Behaviour(rival_share=1.0, congestion=0.3).model_dump()
    town.slots(40)
    done = town.call("sandboxMarket", {"rival_share": 0})["done"]
    assert done["rival_sent"] > 10 and done["congestion_sent"] > 100
    town.slots(20)
    later = town.call("sandboxMarket")
    assert later["done"]["rival_sent"] == done["rival_sent"]
    assert later["done"]["congestion_sent"] > done["congestion_sent"]
    assert later["behaviour"]["congestion"] == 0.3


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ([1], "at most one parameter"),
        ([{}, {}], "at most one parameter"),
        ([{"rival_share": 2}], "rival_share 2: input should be less than or equal to 1"),
        ([{"rival_share": "all"}], "rival_share 'all': input should be a valid number"),
        ([{"boredom": 1}], "boredom 1: extra inputs are not permitted"),
        ([{"congestion": float("nan")}], "congestion nan: input should be a finite number"),
    ],
)
def test_wrong_behaviour_is_refused_and_changes_nothing(parameters: list[object], fault: str) -> None:
    town = Town(positions=1)
    with pytest.raises(RpcError, match=fault) as refusal:
        town.call("sandboxMarket", *parameters)
    assert refusal.value.code == -32602
    assert town.call("sandboxMarket")["behaviour"] == Behaviour().model_dump()
