"""The chain and its nodes over a real socket: health, slots, heights, blockhashes, fees, leaders, votes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solders.compute_budget import set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.cluster.rpc.methods_cluster import Contact
from engine.sandbox.cluster.rpc.params import Params
from engine.sandbox.cluster.rpc_errors import RpcError
from engine.sandbox.cluster.serving.server import serve_node

if TYPE_CHECKING:
    from conftest import Node, Town

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]
EPOCH_SLOTS = 432_000
VOTE_STATE_BYTES = 3_762
VOTE_PROGRAM = Pubkey.from_string("Vote111111111111111111111111111111111111111")
RENT_SYSVAR = "SysvarRent111111111111111111111111111111111"
CLOCK_SYSVAR = "SysvarC1ock11111111111111111111111111111111"
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


async def test_a_node_far_behind_says_by_how_much_and_takes_no_transactions(town: Town, key: NewKey) -> None:
    view = View(town.ledger)
    methods = methods_of(view, Leader(town.ledger))
    transaction = base64.b64encode(bytes(town.sign(town.pay(key(), SOL)))).decode()
    options = {"encoding": "base64", "preflightCommitment": "processed"}

    def refusal(method: str, *params: object) -> dict[str, object]:
        with pytest.raises(RpcError) as raised:
            methods[method](Params(list(params)))
        return raised.value.as_json()

    view.lag(128)
    town.advance(130)
    assert methods["getHealth"](Params([])) == "ok"
    # What it has forgotten it cannot show again: it stands still until it is as far behind.
    view.lag(129)
    town.advance()
    behind = {
        "code": -32005,
        "message": "Node is behind by 129 slots",
        "data": {"numSlotsBehind": 129},
    }
    assert refusal("getHealth") == behind
    assert refusal("sendTransaction", transaction, options) == behind
    view.lag(0)
    view.freeze()
    town.advance(130)
    assert refusal("getHealth")["data"] == {"numSlotsBehind": 130}
    view.thaw()
    assert methods["getHealth"](Params([])) == "ok"
    town.ledger.halted = True
    stopped = {"code": -32005, "message": "Node is unhealthy", "data": {"numSlotsBehind": None}}
    assert refusal("getHealth") == stopped


async def test_leaders_are_known_up_to_the_end_of_the_next_epoch(node: Node, client: AsyncClient) -> None:
    validator = node.ledger.validator
    leaders = (await client.get_slot_leaders(node.ledger.slot, 3)).value
    assert leaders == [validator] * 3
    last = 2 * EPOCH_SLOTS - 1
    assert await node.result("getSlotLeaders", last, 1) == [str(validator)]
    assert await node.result("getSlotLeaders", last + 1, 0) == []
    assert await node.error("getSlotLeaders", last, 2) == {
        "code": -32602,
        "message": "Invalid slot range: leader schedule for epoch 2 is unavailable",
    }
    assert (await node.error("getSlotLeaders", 0, 5_001))["message"] == "Invalid limit; max 5000"


async def test_the_leader_schedule_takes_a_slot_or_options_first(node: Node) -> None:
    validator = str(node.ledger.validator)
    whole = {validator: list(range(EPOCH_SLOTS))}
    assert await node.result("getLeaderSchedule") == whole
    assert await node.result("getLeaderSchedule", None, {"identity": validator}) == whole
    assert await node.result("getLeaderSchedule", {"identity": str(Pubkey.default())}) == {}
    assert await node.result("getLeaderSchedule", 2 * EPOCH_SLOTS) is None
    assert await node.error("getLeaderSchedule", "now") == {
        "code": -32602,
        "message": "Invalid params: data did not match any variant of untagged enum "
        "RpcLeaderScheduleConfigWrapper.",
    }


async def test_a_vote_account_that_somebody_makes_is_an_unstaked_delinquent(node: Node) -> None:
    town, account, validator = node.town, Keypair(), Keypair()
    rent = town.ledger.rent_exempt_minimum_lamports(VOTE_STATE_BYTES)
    payer = town.payer.pubkey()
    create = create_account(
        CreateAccountParams(
            from_pubkey=payer,
            to_pubkey=account.pubkey(),
            lamports=rent,
            space=VOTE_STATE_BYTES,
            owner=VOTE_PROGRAM,
        )
    )
    sysvars = [AccountMeta(Pubkey.from_string(key), False, False) for key in (RENT_SYSVAR, CLOCK_SYSVAR)]
    initialize = Instruction(
        VOTE_PROGRAM,
        bytes(4) + bytes(validator.pubkey()) + bytes(payer) * 2 + bytes([7]),
        [AccountMeta(account.pubkey(), False, True), *sysvars, AccountMeta(validator.pubkey(), True, False)],
    )
    landed = town.land(create, initialize, signers=[account, validator])
    assert node.ledger.history.get(landed.signatures[0]).fault is None
    assert await node.result("getVoteAccounts", {"commitment": "processed"}) == {
        "current": [],
        "delinquent": [],
    }
    asked = {"commitment": "processed", "keepUnstakedDelinquents": True}
    (found,) = (await node.result("getVoteAccounts", asked))["delinquent"]
    assert found == {
        "activatedStake": 0,
        "commission": 7,
        "epochCredits": [],
        "epochVoteAccount": False,
        "lastVote": 0,
        "nodePubkey": str(validator.pubkey()),
        "rootSlot": 0,
        "votePubkey": str(account.pubkey()),
    }
    other = asked | {"votePubkey": str(payer)}
    assert (await node.result("getVoteAccounts", other))["delinquent"] == []


async def test_nodes_of_one_cluster_name_each_other(town: Town) -> None:
    contacts: list[Contact] = []
    leader = Leader(town.ledger)
    nodes = [await serve_node(leader, contacts=contacts) for _ in range(2)]
    request = {"jsonrpc": "2.0", "id": 1, "method": "getClusterNodes"}
    async with aiohttp.ClientSession() as http:
        for each in nodes:
            async with http.post(each.rpc_url, json=request) as response:
                listed = (await response.json())["result"]
            assert [f"http://{entry['rpc']}" for entry in listed] == [each.rpc_url for each in nodes]
    for each in nodes:
        await each.close()
