"""Every RPC method over a real socket, through Solana's Python client where it has the method."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import DataSliceOpts, MemcmpOpts, TxOpts
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from engine.sandbox import program
from engine.sandbox.cluster import Commitment
from engine.sandbox.cluster.encoding import base58_decode, base58_encode

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


async def test_account_reads_say_the_slot_of_their_bank(node: Node, client: AsyncClient, key: NewKey) -> None:
    address = key()
    node.town.plant(address, 7 * SOL, b"seven", address)
    processed = await client.get_account_info(address, Processed)
    assert processed.context.slot == node.ledger.slot
    assert processed.value is not None
    assert (processed.value.lamports, processed.value.data, processed.value.owner) == (
        7 * SOL,
        b"seven",
        address,
    )
    finalized = await client.get_account_info(address, Finalized)
    assert (finalized.context.slot, finalized.value) == (node.ledger.slot - 31, None)
    assert (await client.get_balance(address, Processed)).value == 7 * SOL
    assert (await client.get_balance(address, Confirmed)).value == 0
    several = await client.get_multiple_accounts([address, key()], Processed)
    assert several.value[0] == processed.value
    assert several.value[1] is None


@pytest.mark.parametrize("encoding", ["base58", "base64", "base64+zstd", "jsonParsed", None])
async def test_account_data_in_every_encoding(
    node: Node, key: NewKey, program_id: Pubkey, encoding: str | None
) -> None:
    data = bytes(range(100))
    node.town.plant(address := key(), SOL, data, program_id)
    config: dict[str, Any] = {"commitment": "processed"} | ({"encoding": encoding} if encoding else {})
    account = (await node.result("getAccountInfo", str(address), config))["value"]
    assert {name: account[name] for name in ("lamports", "owner", "executable", "space")} == {
        "lamports": SOL,
        "owner": str(program_id),
        "executable": False,
        "space": 100,
    }
    if encoding is None:
        assert base58_decode(account["data"]) == data
        return
    text, name = account["data"]
    assert name == ("base64" if encoding == "jsonParsed" else encoding)
    decoded = base58_decode(text) if encoding == "base58" else base64.b64decode(text)
    if encoding == "base64+zstd":
        decoded = zstandard.ZstdDecompressor().decompress(decoded, max_output_size=1_000)
    assert decoded == data
    config["dataSlice"] = {"offset": 90, "length": 20}
    sliced = (await node.result("getAccountInfo", str(address), config))["value"]
    assert sliced["space"] == 100
    if encoding in ("base64", "jsonParsed"):
        assert base64.b64decode(sliced["data"][0]) == data[90:]


async def test_base58_of_more_than_128_bytes_is_refused_unless_sliced(
    node: Node, key: NewKey, program_id: Pubkey
) -> None:
    node.town.plant(address := key(), SOL, bytes(129), program_id)
    config = {"commitment": "processed", "encoding": "base58"}
    error = await node.error("getAccountInfo", str(address), config)
    assert error["code"] == -32600
    assert error["message"].startswith("Encoded binary (base 58) data should be less than 128 bytes")
    await node.result("getAccountInfo", str(address), config | {"dataSlice": {"offset": 0, "length": 128}})


async def test_program_accounts_by_filters_slices_and_context(
    node: Node, client: AsyncClient, key: NewKey, program_id: Pubkey
) -> None:
    addresses = sorted((key() for _ in range(6)), key=bytes)
    for number, address in enumerate(addresses):
        node.town.plant(address, SOL, bytes([1, number % 2]) * (10 + number // 3), program_id)
    found = await client.get_program_accounts(program_id, Processed, encoding="base64")
    assert [entry.pubkey for entry in found.value] == addresses
    assert found.value[3].account.data == bytes([1, 1]) * 11
    assert (await client.get_program_accounts(program_id, Confirmed, encoding="base64")).value == []
    odd = MemcmpOpts(offset=1, bytes=base58_encode(b"\x01"))
    filtered = await client.get_program_accounts(
        program_id, Processed, encoding="base64+zstd", filters=[22, odd]
    )
    assert [entry.pubkey for entry in filtered.value] == [addresses[3], addresses[5]]
    sliced = await client.get_program_accounts(
        program_id, Processed, encoding="base64", data_slice=DataSliceOpts(offset=1, length=2)
    )
    assert sliced.value[1].account.data == b"\x01\x01"
    config = {"commitment": "processed", "encoding": "base64", "withContext": True}
    for filters, count in (
        ([{"memcmp": {"offset": 0, "bytes": "AQA=", "encoding": "base64"}}], 3),
        ([{"memcmp": {"offset": 0, "bytes": [1, 1]}}], 3),
        ([{"dataSize": 20}], 3),
        ([{"memcmp": {"offset": 500, "bytes": [1]}}], 0),
        ([{"tokenAccountState": {}}], 0),
    ):
        answer = await node.result("getProgramAccounts", str(program_id), config | {"filters": filters})
        assert answer["context"]["slot"] == node.ledger.slot
        assert len(answer["value"]) == count


async def test_rent_exemption_is_what_the_machine_enforces(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    least = (await client.get_minimum_balance_for_rent_exemption(0)).value
    node.town.land(node.town.pay(enough := key(), least))
    transaction = node.town.sign(node.town.pay(key(), least - 1))
    response = await node.send(transaction)
    assert "insufficient funds for rent" in response["error"]["message"]
    assert node.town.lamports(enough) == least


async def test_a_sent_transaction_rises_through_the_levels(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    transaction = node.town.sign(node.town.pay(key(), SOL))
    options = TxOpts(preflight_commitment=Processed, max_retries=0)
    signature = (await client.send_raw_transaction(bytes(transaction), opts=options)).value
    assert signature == transaction.signatures[0]
    slot = node.ledger.slot
    for advance, level, confirmations in ((0, "processed", 0), (1, "confirmed", 1), (29, "confirmed", 30)):
        node.town.advance(advance)
        (status,) = await _statuses(node, signature)
        assert status == {
            "slot": slot,
            "confirmations": confirmations,
            "err": None,
            "status": {"Ok": None},
            "confirmationStatus": level,
        }
    node.town.advance()
    (status,) = await _statuses(node, signature)
    assert (status["confirmationStatus"], status["confirmations"]) == ("finalized", None)
    typed = (await client.get_signature_statuses([signature, Signature.default()])).value
    assert typed[0] is not None
    assert typed[1] is None
    confirmed = await client.confirm_transaction(signature, Finalized)
    assert confirmed.value[0] is not None


async def _statuses(node: Node, *signatures: Signature) -> list[dict[str, object]]:
    answer = await node.result("getSignatureStatuses", [str(signature) for signature in signatures])
    statuses: list[dict[str, object]] = answer["value"]
    return statuses


async def test_old_statuses_need_a_search_of_history(node: Node, key: NewKey) -> None:
    signature = str(node.town.land(node.town.pay(key(), SOL)).signatures[0])
    node.town.advance(301)
    assert (await node.result("getSignatureStatuses", [signature]))["value"] == [None]
    searched = await node.result("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
    assert searched["value"][0]["confirmationStatus"] == "finalized"


async def test_failed_preflight_carries_the_simulation(node: Node, key: NewKey) -> None:
    transaction = node.town.sign(node.town.pay(key(), 5_000 * SOL))
    error = (await node.send(transaction))["error"]
    assert error["code"] == -32002
    assert error["message"] == (
        "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"
    )
    data = error["data"]
    assert data["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert data["accounts"] is None
    assert data["unitsConsumed"] == 150
    assert any("insufficient lamports" in line for line in data["logs"])
    assert transaction.signatures[0] not in node.ledger.history


async def test_skipping_preflight_lands_the_failure(node: Node, client: AsyncClient, key: NewKey) -> None:
    transaction = node.town.sign(node.town.pay(key(), 5_000 * SOL))
    response = await node.send(transaction, skipPreflight=True, maxRetries=0)
    assert response["result"] == str(transaction.signatures[0])
    (status,) = await _statuses(node, transaction.signatures[0])
    assert status["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert status["status"] == {"Err": status["err"]}
    node.town.advance()
    landed = (await client.get_transaction(transaction.signatures[0], commitment=Confirmed,
                                           max_supported_transaction_version=0)).value  # fmt: skip
    assert landed is not None
    assert landed.transaction.meta is not None
    assert landed.transaction.meta.err is not None
    assert landed.transaction.meta.fee == 5_000


async def test_base58_is_the_default_encoding_of_a_transaction(node: Node, key: NewKey) -> None:
    transaction = node.town.sign(node.town.pay(key(), SOL))
    text = base58_encode(bytes(transaction))
    answer = await node.result("sendTransaction", text, {"preflightCommitment": "processed"})
    assert answer == str(transaction.signatures[0])


async def test_sending_the_same_bytes_again(node: Node, key: NewKey) -> None:
    transaction = node.town.sign(node.town.pay(to := key(), SOL))
    first = await node.send(transaction)
    again = await node.send(transaction, skipPreflight=True)
    assert first["result"] == again["result"]
    refused = await node.send(transaction)
    assert refused["error"]["data"]["err"] == "AlreadyProcessed"
    assert node.town.lamports(to) == SOL


async def test_a_bad_signature_in_preflight(node: Node, key: NewKey) -> None:
    good = node.town.sign(node.town.pay(key(), SOL))
    forged = VersionedTransaction.populate(good.message, [Signature.new_unique()])
    error = (await node.send(forged))["error"]
    assert error == {"code": -32003, "message": "Transaction signature verification failure"}


async def test_simulation_answers_without_changing_anything(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    transaction = node.town.sign(node.town.pay(to := key(), SOL))
    simulated = await client.simulate_transaction(transaction, commitment=Processed)
    assert (simulated.context.slot, simulated.value.err) == (node.ledger.slot, None)
    assert simulated.value.units_consumed == 150
    assert simulated.value.logs is not None
    assert len(simulated.value.logs) == 2
    assert node.ledger.account(to) is None


async def test_simulation_with_accounts_a_replaced_blockhash_and_no_signature(
    node: Node, key: NewKey
) -> None:
    signed = node.town.sign(node.town.pay(to := key(), SOL), blockhash=Hash.new_unique())
    unsigned = VersionedTransaction.populate(signed.message, [Signature.default()])
    text = base64.b64encode(bytes(unsigned)).decode()
    config: dict[str, Any] = {"encoding": "base64", "commitment": "processed"}
    value = (await node.result("simulateTransaction", text, config))["value"]
    assert (value["err"], value["logs"], value["replacementBlockhash"]) == ("BlockhashNotFound", [], None)
    config |= {
        "replaceRecentBlockhash": True,
        "innerInstructions": True,
        "accounts": {"addresses": [str(to), str(key())], "encoding": "base64"},
    }
    value = (await node.result("simulateTransaction", text, config))["value"]
    assert value["err"] is None
    assert value["accounts"][0]["lamports"] == SOL
    assert value["accounts"][1] is None
    assert value["innerInstructions"] == []
    assert value["replacementBlockhash"]["blockhash"] == str(node.town.blockhash())
    both = await node.error("simulateTransaction", text, config | {"sigVerify": True})
    assert both["message"] == "sigVerify may not be used with replaceRecentBlockhash"
    checked = await node.error(
        "simulateTransaction", text, {"encoding": "base64", "sigVerify": True, "commitment": "processed"}
    )
    assert checked["code"] == -32003


async def test_the_fee_of_a_message_is_the_fee_that_is_charged(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    instructions = [
        set_compute_unit_limit(777_777),
        set_compute_unit_price(31_337),
        node.town.pay(key(), SOL),
    ]
    message = MessageV0.try_compile(node.town.payer.pubkey(), instructions, [], node.town.blockhash())
    quoted = (await client.get_fee_for_message(message, Processed)).value
    landed = node.town.land(*instructions)
    record = node.ledger.history.get(landed.signatures[0])
    assert record is not None
    assert quoted == record.fee_lamports == 5_000 + 24_374  # 777777 * 0.031337 = 24373.19
    unknown = Message.new_with_blockhash(instructions, node.town.payer.pubkey(), Hash.new_unique())
    answer = await node.result("getFeeForMessage", base64.b64encode(bytes(unknown)).decode())
    assert answer["value"] is None


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


async def test_airdrop_is_a_transaction_with_history(node: Node, client: AsyncClient, key: NewKey) -> None:
    signature = (await client.request_airdrop(to := key(), 2 * SOL, Processed)).value
    assert (await client.get_balance(to, Processed)).value == 2 * SOL
    node.town.advance()
    landed = (await client.get_transaction(signature, commitment=Confirmed)).value
    assert landed is not None
    error = await node.error("requestAirdrop", str(to), 2**63)
    assert error["code"] == -32603
    assert error["message"].startswith("airdrop request failed")


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
    assert await page(before=Signature.default()) == newest_first
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
        assert message["instructions"][0]["accounts"] == [payer, str(to)]


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


def test_base58_agrees_with_solders() -> None:
    for _ in range(50):
        address = Keypair().pubkey()
        assert base58_encode(bytes(address)) == str(address)
        assert base58_decode(str(address)) == bytes(address)
    assert base58_encode(b"\0\0a") == "112g"
    assert base58_decode("112g") == b"\0\0a"
    assert Commitment("confirmed") is Commitment.CONFIRMED
