"""Lamports as a whole over a real socket: supply, the largest accounts, inflation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from engine.sandbox.cluster import Genesis, Ledger
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.methods_supply import SupplyMethods
from engine.sandbox.cluster.rpc.params import Params

if TYPE_CHECKING:
    from conftest import Node, Town

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]
PROCESSED = {"commitment": "processed"}


async def test_what_a_payment_moves_stays_in_supply_and_its_fee_leaves_it(node: Node, key: NewKey) -> None:
    before = (await node.result("getSupply", PROCESSED))["value"]["total"]
    node.town.land(node.town.pay(key(), SOL))
    after = (await node.result("getSupply", PROCESSED))["value"]
    assert after["total"] == before - 5_000
    confirmed = await node.result("getSupply", {"commitment": "confirmed"})
    assert (confirmed["value"]["total"], confirmed["context"]["slot"]) == (before, node.ledger.slot - 1)
    node.town.advance()
    assert (await node.result("getSupply", {"commitment": "confirmed"}))["value"] == after


async def test_the_largest_accounts_are_remembered_for_a_while(node: Node, key: NewKey) -> None:
    first = await node.result("getLargestAccounts", PROCESSED)
    slot = node.ledger.slot
    node.town.plant(rich := key(), 10**18)
    node.town.advance(150)
    assert await node.result("getLargestAccounts", PROCESSED) == first
    # Each level remembers its own: what is not confirmed yet is not told as confirmed.
    other = await node.result("getLargestAccounts", {"commitment": "confirmed"})
    assert other["value"][0] == {"address": str(rich), "lamports": 10**18}
    node.town.advance()
    anew = await node.result("getLargestAccounts", PROCESSED)
    assert (anew["context"]["slot"], anew["value"][0]["address"]) == (slot + 151, str(rich))
    locked = {"filter": "nonCirculating"} | PROCESSED
    assert (await node.result("getLargestAccounts", locked))["value"] == []
    assert (await node.result("getLargestAccounts", {"filter": "circulating"}))["value"]


async def test_rewards_are_null_once_their_epoch_is_over(node: Node, town: Town, key: NewKey) -> None:
    addresses = [str(key()), str(town.payer.pubkey())]
    early = await node.error("getInflationReward", addresses, {"epoch": 7})
    assert early == {"code": -32004, "message": f"Block not available for slot {8 * 432_000}"}
    below = await node.error("getInflationReward", addresses, PROCESSED)
    assert below["message"] == "Method does not support commitment below `confirmed`"


def test_rewards_of_a_past_epoch_were_nothing() -> None:
    genesis = replace(Genesis.from_seed(b"late"), first_slot=431_990)
    ledger = Ledger(genesis, lambda: 1.0)
    for _ in range(40):
        ledger.advance_slot()
    supply = SupplyMethods(View(ledger))
    address = str(Pubkey.default())
    assert supply.get_inflation_reward(Params([[address] * 2])) == [None, None]
    assert supply.get_inflation_rate(Params([])) == {
        "epoch": 1,
        "foundation": 0.0,
        "total": 0.0,
        "validator": 0.0,
    }
