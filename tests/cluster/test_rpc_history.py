"""Transactions that landed, over a real socket: by signature, by address, in every encoding."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.sandbox import program
from engine.sandbox.cluster.encoding import base58_decode
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.cluster.rpc.params import Params

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]


async def _landed(node: Node, signature: Signature) -> None:
    """Wait for the leader to run it: it does so within 50 ms."""
    async with asyncio.timeout(20):
        while signature not in node.ledger.history:
            await node.result("getSlot")


async def test_old_statuses_need_a_search_of_history(node: Node, key: NewKey) -> None:
    signature = str(node.town.land(node.town.pay(key(), SOL)).signatures[0])
    node.town.advance(301)
    assert (await node.result("getSignatureStatuses", [signature]))["value"] == [None]
    searched = await node.result("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
    assert searched["value"][0]["confirmationStatus"] == "finalized"


async def test_history_of_an_address_pages_newest_first(node: Node, client: AsyncClient, key: NewKey) -> None:
    to = key()
    sent = []
    for number in range(5):
        sent.append(node.town.land(node.town.pay(to, SOL + number)).signatures[0])
        node.town.advance()
    newest_first = sent[::-1]

    async def page(**options: object) -> list[Signature]:
        found = await client.get_signatures_for_address(to, commitment=Confirmed, **options)  # type: ignore[arg-type]
        return [entry.signature for entry in found.value]

    assert await page() == newest_first
    assert await page(limit=2) == newest_first[:2]
    assert await page(before=newest_first[1], limit=2) == newest_first[2:4]
    assert await page(until=newest_first[2]) == newest_first[:2]
    # Of a signature that never landed nothing is known, nor what came before it.
    assert await page(before=Signature.default()) == []
    assert await page(until=Signature.default()) == newest_first
    assert (await client.get_signatures_for_address(to, commitment=Finalized)).value == []
    entry = (await node.result("getSignaturesForAddress", str(to), {"commitment": "confirmed"}))[0]
    assert entry == {
        "signature": str(newest_first[0]),
        "slot": node.ledger.slot - 1,
        "err": None,
        "memo": None,
        "blockTime": node.ledger.block_time_s(node.ledger.slot - 1),
        "confirmationStatus": "confirmed",
    }


async def test_memos_are_listed_with_the_signatures(node: Node, key: NewKey) -> None:
    to, memo_program = key(), Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
    memos = [Instruction(memo_program, text.encode(), []) for text in ("grüezi", "b")]
    node.town.land(node.town.pay(to, SOL), *memos)
    node.town.advance()
    (listed,) = await node.result("getSignaturesForAddress", str(to), {"commitment": "confirmed"})
    assert listed["memo"] == "[7] grüezi; [1] b"


@pytest.mark.parametrize("encoding", ["json", "jsonParsed", "base64", "base58"])
async def test_a_transaction_in_every_encoding(
    node: Node, client: AsyncClient, key: NewKey, encoding: str
) -> None:
    sent = node.town.land(node.town.pay(to := key(), SOL))
    before = node.town.lamports(node.town.payer.pubkey()) + SOL + 5_000
    node.town.advance()
    typed = await client.get_transaction(
        sent.signatures[0], encoding, Confirmed, max_supported_transaction_version=0
    )
    assert typed.value is not None
    assert typed.value.slot == node.ledger.slot - 1
    config = {"encoding": encoding, "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    shown = await node.result("getTransaction", str(sent.signatures[0]), config)
    assert shown["version"] == 0
    assert shown["blockTime"] == node.ledger.block_time_s(node.ledger.slot - 1)
    meta, payer = shown["meta"], str(node.town.payer.pubkey())
    assert (meta["err"], meta["status"], meta["fee"]) == (None, {"Ok": None}, 5_000)
    assert meta["preBalances"] == [before, 0, 1]
    assert meta["postBalances"] == [before - SOL - 5_000, SOL, 1]
    assert (meta["computeUnitsConsumed"], len(meta["logMessages"])) == (150, 2)
    if encoding == "base64":
        assert base64.b64decode(shown["transaction"][0]) == bytes(sent)
    elif encoding == "base58":
        assert base58_decode(shown["transaction"][0]) == bytes(sent)
    elif encoding == "json":
        message = shown["transaction"]["message"]
        assert message["accountKeys"] == [payer, str(to), str(Pubkey.default())]
        assert message["instructions"][0]["programIdIndex"] == 2
        assert meta["loadedAddresses"] == {"writable": [], "readonly": []}
    else:
        message = shown["transaction"]["message"]
        assert message["accountKeys"][0] == {
            "pubkey": payer,
            "signer": True,
            "source": "transaction",
            "writable": True,
        }
        assert message["instructions"][0] == {
            "program": "system",
            "programId": str(Pubkey.default()),
            "parsed": {
                "type": "transfer",
                "info": {"source": payer, "destination": str(to), "lamports": SOL},
            },
            "stackHeight": 1,
        }


async def test_a_versioned_transaction_is_shown_only_to_who_understands_it(node: Node, key: NewKey) -> None:
    sent = node.town.land(node.town.pay(key(), SOL))
    node.town.advance()
    error = await node.error("getTransaction", str(sent.signatures[0]), {"commitment": "confirmed"})
    assert error["code"] == -32015
    assert "maxSupportedTransactionVersion" in error["message"]
    # Unknown at a commitment is no error.
    assert await node.result("getTransaction", str(sent.signatures[0])) is None


async def test_lookup_tables_are_resolved(node: Node, client: AsyncClient, key: NewKey) -> None:
    table_key, to, payer = key(), key(), node.town.payer
    header = (1).to_bytes(4, "little") + bytes([255] * 8) + bytes(8) + bytes([0, 0]) + bytes(34)
    owner = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
    node.town.plant(table_key, SOL, header + bytes(to), owner)
    node.town.advance()
    table = AddressLookupTableAccount(table_key, [to])
    message = MessageV0.try_compile(payer.pubkey(), [node.town.pay(to, SOL)], [table], node.town.blockhash())
    transaction = VersionedTransaction(message, [payer])
    assert "result" in await node.send(transaction)
    await _landed(node, transaction.signatures[0])
    assert node.town.lamports(to) == SOL
    node.town.advance()
    config = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    meta = (await node.result("getTransaction", str(transaction.signatures[0]), config))["meta"]
    assert meta["loadedAddresses"] == {"writable": [str(to)], "readonly": []}
    assert meta["postBalances"][2] == SOL
    named = await client.get_signatures_for_address(to, commitment=Confirmed)
    assert [entry.signature for entry in named.value] == [transaction.signatures[0]]


async def test_our_program_runs_and_shows_its_calls(node: Node, client: AsyncClient) -> None:
    from engine.protocol import instructions
    from engine.protocol.addresses import PROGRAM_ID, position_address

    node.ledger.add_program(PROGRAM_ID, program.load())
    owner = Keypair()
    node.town.plant(owner.pubkey(), 10 * SOL)
    opening = instructions.open_position(
        owner.pubkey(), "SOL/USD", size_e6=10**6, collateral_e6=10**7, entry_price_e6=10**8, leverage=10
    )
    transaction = node.town.sign(opening, payer=owner)
    assert "result" in await node.send(transaction)
    await _landed(node, transaction.signatures[0])
    node.town.advance()
    account = await client.get_account_info(position_address(owner.pubkey(), "SOL/USD"), Confirmed)
    assert account.value is not None
    assert account.value.owner == PROGRAM_ID
    config = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    shown = await node.result("getTransaction", str(transaction.signatures[0]), config)
    (group,) = shown["meta"]["innerInstructions"]
    assert group["index"] == 0
    assert group["instructions"][0]["stackHeight"] == 2
    assert "Program log: Instruction: OpenPosition" in shown["meta"]["logMessages"]
    again = await node.send(node.town.sign(opening, payer=owner))
    assert again["error"]["data"]["err"] == {"InstructionError": [0, {"Custom": 0}]}


async def test_a_page_can_begin_at_any_transaction_of_the_chain(node: Node, key: NewKey) -> None:
    to = key()
    before, after = (str(node.town.land(node.town.pay(to, SOL + n)).signatures[0]) for n in range(2))
    # In the same block, of somebody else: what came before it in the block is older.
    other = str(node.town.land(node.town.pay(key(), SOL)).signatures[0])
    later = str(node.town.land(node.town.pay(to, 9 * SOL)).signatures[0])
    node.town.advance()

    async def page(**options: str) -> list[str]:
        config = {"commitment": "confirmed"} | options
        found = await node.result("getSignaturesForAddress", str(to), config)
        return [entry["signature"] for entry in found]

    assert await page() == [later, after, before]
    assert await page(before=other) == [after, before]
    assert await page(before=after, until=before) == []
    assert await page(until=after) == [later]


async def test_a_node_that_lags_does_not_know_what_landed_since(node: Node, key: NewKey) -> None:
    view, behind = View(node.ledger), 5
    methods = methods_of(view, Leader(node.ledger))
    node.town.advance(behind)
    signature = str(node.town.land(node.town.pay(to := key(), SOL)).signatures[0])
    node.town.advance(2)
    view.lag(behind)

    def ask(method: str, *params: object) -> Any:
        return methods[method](Params(list(params)))

    confirmed = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    assert ask("getSignatureStatuses", [signature])["value"] == [None]
    assert ask("getTransaction", signature, confirmed) is None
    assert ask("getSignaturesForAddress", str(to), confirmed) == []
    assert ask("getBalance", str(to), {"commitment": "processed"})["value"] == 0
    assert ask("getSlot", {"commitment": "processed"}) == node.ledger.slot - behind
    node.town.advance(behind)
    assert ask("getTransaction", signature, confirmed)["slot"] == node.ledger.slot - behind - 2
    assert ask("getBalance", str(to), {"commitment": "processed"})["value"] == SOL
