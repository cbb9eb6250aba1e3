"""What ails the oracle on chain, and that the true prices go on underneath."""

from __future__ import annotations

import pytest
from market_town import Town

from engine.protocol.addresses import FEEDS
from engine.sandbox.market.oracle_conditions import OracleCondition, OracleConditions


def test_an_outage_leaves_the_last_update_and_the_market_moves_on() -> None:
    town = Town(positions=5)
    town.market.start()
    town.slots(3)
    before = town.feed("ETH/USD")
    town.market.oracle.set("ETH/USD", OracleCondition(outage=True))
    town.slots(20)
    assert town.feed("ETH/USD") == before
    assert town.feed("SOL/USD").posted_slot == town.ledger.slot
    assert town.market.quotes["ETH/USD"].publish_time_s == before.publish_time_s + 8
    assert town.market.quotes["ETH/USD"].price != before.price
    town.market.oracle.clear()
    town.slots(1)
    assert town.feed("ETH/USD") == town.market.quotes["ETH/USD"]


def test_old_prices_wide_confidence_and_a_jump_are_on_chain_alone() -> None:
    town = Town(positions=5)
    condition = OracleCondition(age_s=45, confidence_factor=20.0, jump_bps=-1_500)
    town.market.oracle.set("BTC/USD", condition)
    town.market.start()
    town.slots(5)
    told, true = town.feed("BTC/USD"), town.market.quotes["BTC/USD"]
    assert told.publish_time_s == true.publish_time_s - 45 == town.ledger.unix_time_s - 45
    assert told.prev_publish_time_s == true.prev_publish_time_s - 45
    assert told.conf == 20 * true.conf
    assert told.price == true.price * 8_500 // 10_000
    assert told.conf / told.price > 0.01  # wider than the engine accepts
    assert town.feed("SOL/USD") == town.market.quotes["SOL/USD"]


def test_prices_after_an_ailment_are_those_of_a_healthy_run() -> None:
    ill, healthy = Town(positions=1), Town(positions=1)
    for town in (ill, healthy):
        town.market.start()
    ill.market.oracle.set("SOL/USD", OracleCondition(outage=True))
    for town in (ill, healthy):
        town.slots(30)
    ill.market.oracle.set("SOL/USD", OracleCondition())
    for town in (ill, healthy):
        town.slots(1)
    assert ill.feed("SOL/USD") == healthy.feed("SOL/USD")


@pytest.mark.parametrize(
    "impossible",
    [
        {"age_s": -1},
        {"confidence_factor": 0.0},
        {"confidence_factor": float("inf")},
        {"confidence_factor": float("nan")},
        {"jump_bps": -10_000},
    ],
)
def test_impossible_conditions_are_refused(impossible: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no feed can be in the condition"):
        OracleCondition(**impossible)  # type: ignore[arg-type]


def test_a_symbol_without_a_feed_has_no_condition() -> None:
    with pytest.raises(KeyError):
        OracleConditions().set("DOGE/USD", OracleCondition())
    assert {OracleConditions().of(symbol) for symbol in FEEDS} == {OracleCondition()}


def test_no_factor_makes_an_update_that_no_account_can_hold() -> None:
    town = Town(positions=1)
    town.market.oracle.set("BTC/USD", OracleCondition(confidence_factor=1e300, jump_bps=-9_999))
    town.market.oracle.set("SOL/USD", OracleCondition(jump_bps=10**14))
    town.slots(1)
    assert town.feed("BTC/USD").conf == 2**63 - 1 and town.feed("BTC/USD").price > 0
    assert town.feed("SOL/USD").price == 2**63 - 1
