"""Blocks over a real socket: whole and in part, skipped, forgotten, abandoned, and counted."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster import Genesis, Ledger
from engine.sandbox.cluster.blocks.retention import Retention
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.cluster.rpc.params import Params
from engine.sandbox.cluster.rpc_errors import RpcError

if TYPE_CHECKING:
    from conftest import Node, Town

MEMOS = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]
CONFIRMED: dict[str, Any] = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}


@pytest.mark.parametrize("encoding", ["json", "jsonParsed", "base64", "base58"])
async def test_a_block_shows_each_transaction_as_the_transaction_itself_is_shown(
    node: Node, key: NewKey, encoding: str
) -> None:
    sent = [node.town.land(node.town.pay(key(), SOL)) for _ in range(3)]
    slot = node.ledger.slot
    node.town.advance()
    config = CONFIRMED | {"encoding": encoding}
    block = await node.result("getBlock", slot, config)
    alone = [await node.result("getTransaction", str(one.signatures[0]), config) for one in sent]
    assert [
        entry | {"slot": slot, "blockTime": block["blockTime"]} for entry in block["transactions"]
    ] == alone
    assert (block["rewards"], block["blockHeight"]) == ([], node.ledger.block_height - 1)
    assert "signatures" not in block


async def test_a_block_can_be_asked_for_with_less_of_its_transactions(node: Node, key: NewKey) -> None:
    sent = node.town.land(node.town.pay(to := key(), SOL))
    slot, payer, signature = node.ledger.slot, str(node.town.payer.pubkey()), str(sent.signatures[0])
    node.town.advance()

    async def details(name: str, **options: Any) -> dict[str, Any]:
        config = CONFIRMED | {"transactionDetails": name} | options
        shown: dict[str, Any] = await node.result("getBlock", slot, config)
        return shown

    signatures = await details("signatures")
    assert (signatures["signatures"], "transactions" in signatures) == ([signature], False)
    nothing = await details("none", rewards=False)
    assert set(nothing) == {"previousBlockhash", "blockhash", "parentSlot", "blockTime", "blockHeight"}
    (shown,) = (await details("accounts"))["transactions"]
    assert shown["transaction"] == {
        "signatures": [signature],
        "accountKeys": [
            {"pubkey": payer, "signer": True, "source": "transaction", "writable": True},
            {"pubkey": str(to), "signer": False, "source": "transaction", "writable": True},
            {"pubkey": str(Pubkey.default()), "signer": False, "source": "transaction", "writable": False},
        ],
    }
    assert set(shown["meta"]) == {
        *("err", "status", "fee", "preBalances", "postBalances", "preTokenBalances", "postTokenBalances"),
        "rewards",
    }
    (whole,) = (await details("full", rewards=False))["transactions"]
    assert whole["meta"]["rewards"] is None
    assert whole["meta"]["logMessages"]


async def test_programs_are_shown_as_read_only_whatever_the_message_asks_for(node: Node) -> None:
    # It fails: the memo program wants its accounts to sign. It is in the block all the same.
    places = [AccountMeta(MEMOS, False, True), AccountMeta(Pubkey.default(), False, True)]
    node.town.land(Instruction(MEMOS, b"x", places))
    slot = node.ledger.slot
    node.town.advance()
    (shown,) = (await node.result("getBlock", slot, CONFIRMED | {"transactionDetails": "accounts"}))[
        "transactions"
    ]
    writable = {key["pubkey"]: key["writable"] for key in shown["transaction"]["accountKeys"]}
    assert writable == {
        str(node.town.payer.pubkey()): True,
        str(MEMOS): False,
        str(Pubkey.default()): False,
    }


async def test_blocks_form_a_chain_of_hashes_and_heights(node: Node) -> None:
    node.town.advance(5)
    slots = await node.result("getBlocks", node.ledger.first_slot)
    blocks = [await node.result("getBlock", slot) for slot in slots]
    assert len(blocks) >= 5
    for parent, child in pairwise(blocks):
        assert child["previousBlockhash"] == parent["blockhash"] != child["blockhash"]
        assert child["blockHeight"] == parent["blockHeight"] + 1
    assert [block["parentSlot"] for block in blocks[1:]] == slots[:-1]


async def test_a_skipped_slot_has_no_block_and_is_counted_as_missed(node: Node) -> None:
    node.town.advance(3)
    node.ledger.skip_slot()
    skipped = node.ledger.slot - 1
    node.town.advance()
    height = await node.result("getBlockHeight", {"commitment": "processed"})
    # Not finalized yet, it may only be late.
    late = await node.error("getBlock", skipped, CONFIRMED)
    assert late == {"code": -32004, "message": f"Block not available for slot {skipped}"}
    node.town.advance(40)
    for method in ("getBlock", "getBlockTime"):
        assert await node.error(method, skipped) == {
            "code": -32007,
            "message": f"Slot {skipped} was skipped, or missing due to ledger jump to recent snapshot",
        }
    around = [skipped - 1, skipped + 1]
    assert await node.result("getBlocks", skipped - 1, skipped + 1) == around
    assert await node.result("getBlocksWithLimit", skipped - 1, 2) == around
    assert (await node.result("getBlock", skipped + 1))["parentSlot"] == skipped - 1
    assert await node.result("getBlockHeight", {"commitment": "processed"}) == height + 40
    window = {"range": {"firstSlot": skipped - 1, "lastSlot": skipped + 1}}
    production = await node.result("getBlockProduction", window)
    assert production["value"]["byIdentity"] == {str(node.ledger.validator): [3, 2]}


async def test_a_block_is_there_once_it_is_as_settled_as_asked_for(node: Node) -> None:
    slot = node.ledger.slot
    assert (await node.error("getBlock", slot, CONFIRMED))["code"] == -32004
    node.town.advance()
    assert (await node.result("getBlock", slot, CONFIRMED))["parentSlot"] == slot - 1
    assert (await node.error("getBlock", slot))["code"] == -32004
    node.town.advance(30)
    assert (await node.result("getBlock", slot))["parentSlot"] == slot - 1
    assert (await node.error("getBlock", slot + 1_000_000))["code"] == -32004
    assert (await node.error("getBlockTime", node.ledger.slot + 1))["code"] == -32004
    error = await node.error("getBlock", slot, {"commitment": "processed"})
    assert error == {"code": -32602, "message": "Method does not support commitment below `confirmed`"}


async def test_a_block_of_an_abandoned_fork_is_gone(node: Node, key: NewKey) -> None:
    node.town.advance()
    sent = node.town.land(node.town.pay(key(), SOL))
    slot, signature = node.ledger.slot, str(sent.signatures[0])
    node.town.advance(2)
    assert await node.result("getBlock", slot, CONFIRMED | {"transactionDetails": "signatures"})
    assert (await node.result("getSignatureStatuses", [signature]))["value"][0]["slot"] == slot
    node.ledger.abandon(slot)
    node.town.advance(2)
    assert (await node.error("getBlock", slot, CONFIRMED))["code"] == -32004
    assert (await node.result("getSignatureStatuses", [signature]))["value"] == [None]
    assert slot not in await node.result("getBlocks", slot - 1, slot + 3, CONFIRMED)


async def test_the_old_form_names_an_encoding_alone(node: Node, town: Town, key: NewKey) -> None:
    message = Message.new_with_blockhash([town.pay(key(), SOL)], town.payer.pubkey(), town.blockhash())
    legacy = VersionedTransaction(message, [town.payer])
    assert "result" in await node.send(legacy, skipPreflight=True)
    async with asyncio.timeout(20):
        while legacy.signatures[0] not in node.ledger.history:
            await node.result("getSlot")
    slot = node.ledger.slot
    town.advance(32)
    (shown,) = (await node.result("getBlock", slot, "base64"))["transactions"]
    assert base64.b64decode(shown["transaction"][0]) == bytes(legacy)
    # Whoever does not say which versions it understands is not told of any.
    assert "version" not in shown
    assert (await node.result("getTransaction", str(legacy.signatures[0]), "base64"))["slot"] == slot
    assert (await node.result("getTransaction", str(legacy.signatures[0]), CONFIRMED))["version"] == "legacy"


async def test_a_block_with_a_newer_transaction_is_shown_only_to_who_understands_it(
    node: Node, key: NewKey
) -> None:
    node.town.land(node.town.pay(key(), SOL))
    slot = node.ledger.slot
    node.town.advance()
    for details in ("full", "accounts"):
        error = await node.error("getBlock", slot, {"commitment": "confirmed", "transactionDetails": details})
        assert error["code"] == -32015
    only_signatures = {"commitment": "confirmed", "transactionDetails": "signatures"}
    assert len((await node.result("getBlock", slot, only_signatures))["signatures"]) == 1


async def test_ranges_of_blocks(node: Node) -> None:
    node.town.advance(50)
    root, slot = node.ledger.slot - 31, node.ledger.slot
    assert await node.result("getBlocks", root - 2) == [root - 2, root - 1, root]
    assert await node.result("getBlocks", root - 1, None, CONFIRMED) == list(range(root - 1, slot))
    assert await node.result("getBlocks", slot - 2, CONFIRMED) == [slot - 2, slot - 1]
    assert await node.result("getBlocks", root, root - 1) == []
    assert await node.result("getBlocks", root + 1) == []
    assert await node.result("getBlocksWithLimit", slot - 3, 2, CONFIRMED) == [slot - 3, slot - 2]
    assert await node.result("getBlocksWithLimit", root, 0) == []
    assert await node.result("getBlocksWithLimit", 0, 1) == [node.ledger.first_slot]
    ahead = await node.error("getBlocks", root, root, {"minContextSlot": root + 1})
    assert (ahead["code"], ahead["data"]) == (-32016, {"contextSlot": root})


async def test_minutes_of_performance_are_counted_from_blocks(node: Node, key: NewKey) -> None:
    node.town.land(node.town.pay(key(), SOL))
    assert await node.result("getRecentPerformanceSamples") == []
    node.town.advance(150)
    for _ in range(4):
        node.town.land(node.town.pay(key(), SOL))
    node.town.now_s += 0.8
    node.ledger.skip_slot()
    node.town.advance(350)
    samples = await node.result("getRecentPerformanceSamples", 2)
    newest, older = samples
    assert (newest["numSlots"], newest["numTransactions"]) == (150, 0)
    # The slot without a block took its time like the others.
    assert (older["numSlots"], older["numTransactions"], older["numNonVoteTransactions"]) == (150, 4, 4)
    first = older["slot"] - older["numSlots"] + 1
    assert len(await node.result("getBlocks", first, older["slot"])) == 149
    assert newest["slot"] - newest["numSlots"] == older["slot"]
    assert node.ledger.block_time_s(newest["slot"]) % 60 == 59
    assert await node.result("getRecentPerformanceSamples", 1) == [newest]
    assert (await node.error("getRecentPerformanceSamples", 721))["message"] == "Invalid limit; max 720"


def test_what_is_older_than_the_node_keeps_is_said_to_be_cleaned_up() -> None:
    ledger = Ledger(Genesis.from_seed(b"short"), lambda: 1.0, Retention(blocks=40))
    methods = methods_of(View(ledger), Leader(ledger))
    for _ in range(100):
        ledger.advance_slot()
    first = methods["getFirstAvailableBlock"](Params([]))
    assert isinstance(first, int)
    assert first > ledger.first_slot
    assert methods["minimumLedgerSlot"](Params([])) == first
    for method in ("getBlock", "getBlockTime"):
        with pytest.raises(RpcError) as refusal:
            methods[method](Params([first - 1]))
        assert refusal.value.as_json() == {
            "code": -32001,
            "message": f"Block {first - 1} cleaned up, does not exist on node. "
            f"First available block: {first}",
        }
    (block,) = [methods["getBlock"](Params([first]))]
    assert isinstance(block, dict)
    assert block["parentSlot"] == first - 1
    with pytest.raises(RpcError, match=f"firstSlot, 400, is too small; min {first}"):
        methods["getBlockProduction"](Params([{"range": {"firstSlot": 400}}]))
