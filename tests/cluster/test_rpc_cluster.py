"""The chain and its nodes over a real socket: health, slots, heights, blockhashes, fees, leaders, votes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solders.compute_budget import set_compute_unit_price
from solders.hash import Hash
from solders.pubkey import Pubkey

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]
ANY_LEVEL = (Processed, Confirmed, Finalized)


async def test_identity_and_health(node: Node, client: AsyncClient) -> None:
    assert await client.is_connected()
    assert await node.result("getHealth") == "ok"
    version = (await client.get_version()).value
    assert version.solana_core.count(".") == 2
    assert version.feature_set is not None
    assert (await client.get_genesis_hash()).value == node.ledger.genesis_hash
    assert (await client.get_identity()).value.identity == (await client.get_slot_leader()).value
    async with node.http.get(node.server.rpc_url + "/health") as response:
        assert await response.text() == "ok"


async def test_slots_heights_and_epochs_at_each_commitment(node: Node, client: AsyncClient) -> None:
    ledger, depths = node.ledger, dict(zip(ANY_LEVEL, (0, 1, 31), strict=True))
    for level, depth in depths.items():
        assert (await client.get_slot(level)).value == ledger.slot - depth
        assert (await client.get_block_height(level)).value == ledger.block_height - depth
        epoch = (await client.get_epoch_info(level)).value
        assert (epoch.absolute_slot, epoch.slot_index) == (ledger.slot - depth, ledger.slot - depth)
        assert (epoch.block_height, epoch.slots_in_epoch, epoch.epoch) == (
            ledger.block_height - depth,
            432_000,
            0,
        )
    assert (await client.get_epoch_schedule()).value.slots_per_epoch == 432_000
    assert (await client.get_first_available_block()).value == ledger.first_slot
    assert (await client.get_block_time(ledger.slot)).value == ledger.unix_time_s
    # The default is finalized.
    assert await node.result("getSlot") == ledger.slot - 31


async def test_blockhashes_differ_by_commitment_and_expire(node: Node, client: AsyncClient) -> None:
    confirmed = (await client.get_latest_blockhash(Confirmed)).value
    finalized = (await client.get_latest_blockhash(Finalized)).value
    assert confirmed.last_valid_block_height == node.ledger.block_height - 1 + 150
    assert finalized.last_valid_block_height == confirmed.last_valid_block_height - 30

    async def is_valid(blockhash: Hash, level: str) -> bool:
        answer = await node.result("isBlockhashValid", str(blockhash), {"commitment": level})
        assert isinstance(answer["value"], bool)
        return answer["value"]

    assert await is_valid(confirmed.blockhash, "confirmed")
    assert not await is_valid(confirmed.blockhash, "finalized")
    assert await is_valid(finalized.blockhash, "processed")
    node.town.advance(149)
    assert await is_valid(confirmed.blockhash, "processed")
    node.town.advance()
    assert not await is_valid(confirmed.blockhash, "processed")
    assert await is_valid(confirmed.blockhash, "confirmed")
    assert not await is_valid(Hash.new_unique(), "processed")


async def test_recent_fees_are_those_that_landed_by_account(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    busy, quiet = key(), key()
    for price in (900, 500, 700):
        node.town.land(set_compute_unit_price(price), node.town.pay(busy, SOL))
    node.town.land(set_compute_unit_price(20), node.town.pay(quiet, SOL))
    slot = node.ledger.slot
    open_slot = await node.result("getRecentPrioritizationFees", [str(busy)])
    assert max(entry["slot"] for entry in open_slot) == slot - 1
    node.town.advance(2)

    async def fee(*accounts: Pubkey) -> int:
        fees = (await client.get_recent_prioritization_fees(list(accounts))).value
        assert len({entry.slot for entry in fees}) == len(fees) <= 150
        return next(entry.prioritization_fee for entry in fees if entry.slot == slot)

    assert [await fee(), await fee(busy), await fee(quiet), await fee(busy, quiet)] == [20, 500, 20, 500]
    node.town.advance(150)
    old = await node.result("getRecentPrioritizationFees", [])
    assert len(old) == 150
    assert {entry["prioritizationFee"] for entry in old} == {0}


async def test_transactions_are_counted_by_commitment(node: Node, client: AsyncClient, key: NewKey) -> None:
    for _ in range(3):
        node.town.land(node.town.pay(key(), SOL))
    counts = [(await client.get_transaction_count(level)).value for level in ANY_LEVEL]
    assert counts == [3, 0, 0]
    node.town.advance()
    assert (await client.get_transaction_count(Confirmed)).value == 3


async def test_a_caller_ahead_of_the_node_is_told(node: Node, key: NewKey) -> None:
    ahead = node.ledger.slot + 1
    for method, params in (("getBalance", [str(key())]), ("getSlot", []), ("getLatestBlockhash", [])):
        config = {"commitment": "processed", "minContextSlot": ahead}
        error = await node.error(method, *params, config)
        assert error == {
            "code": -32016,
            "message": "Minimum context slot has not been reached",
            "data": {"contextSlot": node.ledger.slot},
        }
        await node.result(method, *params, config | {"minContextSlot": ahead - 1})
