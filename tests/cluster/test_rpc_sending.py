"""Transactions on their way in, over a real socket: sent, refused, rehearsed, priced."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.models import TxOpts
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import (
    AdvanceNonceAccountParams,
    TransferParams,
    advance_nonce_account,
    transfer,
)
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster.encoding import base58_encode

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
ED25519 = Pubkey.from_string("Ed25519SigVerify111111111111111111111111111")
TOKENS = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
NewKey = Callable[[], Pubkey]


async def _landed(node: Node, signature: Signature) -> None:
    """Wait for the leader to run it: it does so within 50 ms."""
    async with asyncio.timeout(20):
        while signature not in node.ledger.history:
            await node.result("getSlot")


async def test_a_sent_transaction_rises_through_the_levels(
    node: Node, client: AsyncClient, key: NewKey
) -> None:
    transaction = node.town.sign(node.town.pay(key(), SOL))
    options = TxOpts(preflight_commitment=Processed, max_retries=0)
    signature = (await client.send_raw_transaction(bytes(transaction), opts=options)).value
    assert signature == transaction.signatures[0]
    await _landed(node, signature)
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
    await _landed(node, transaction.signatures[0])
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
    await _landed(node, transaction.signatures[0])
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


async def test_airdrop_is_a_transaction_with_history(node: Node, client: AsyncClient, key: NewKey) -> None:
    signature = (await client.request_airdrop(to := key(), 2 * SOL, Processed)).value
    await _landed(node, signature)
    assert (await client.get_balance(to, Processed)).value == 2 * SOL
    node.town.advance()
    landed = (await client.get_transaction(signature, commitment=Confirmed)).value
    assert landed is not None
    error = await node.error("requestAirdrop", str(to), 2**63)
    assert error["code"] == -32603
    assert error["message"].startswith("airdrop request failed")


async def test_a_rehearsal_says_what_it_would_load_pay_and_move(node: Node, key: NewKey) -> None:
    mint, source, target, payer = key(), key(), key(), node.town.payer.pubkey()
    node.town.plant(mint, SOL, bytes(36) + (700).to_bytes(8, "little") + bytes([2, 1]) + bytes(36), TOKENS)
    for address, amount in ((source, 700), (target, 0)):
        held = bytes(mint) + bytes(payer) + amount.to_bytes(8, "little") + bytes(36) + bytes([1]) + bytes(56)
        node.town.plant(address, SOL, held, TOKENS)
    places = [AccountMeta(source, False, True), AccountMeta(mint, False, False)]
    places += [AccountMeta(target, False, True), AccountMeta(payer, True, False)]
    move = Instruction(TOKENS, bytes([12]) + (250).to_bytes(8, "little") + bytes([2]), places)
    transaction = node.town.sign(move)
    text = base64.b64encode(bytes(transaction)).decode()
    options: dict[str, Any] = {"encoding": "base64", "commitment": "processed"}
    options["accounts"] = {"addresses": [str(target)], "encoding": "jsonParsed"}
    value = (await node.result("simulateTransaction", text, options))["value"]
    assert set(value) == {
        *("err", "logs", "accounts", "unitsConsumed", "loadedAccountsDataSize", "returnData", "fee"),
        *("innerInstructions", "replacementBlockhash", "loadedAddresses"),
        *("preBalances", "postBalances", "preTokenBalances", "postTokenBalances"),
    }
    assert (value["err"], value["fee"], value["loadedAddresses"]) == (
        None,
        5_000,
        {"writable": [], "readonly": []},
    )
    assert value["preBalances"][0] - value["postBalances"][0] == 5_000
    amounts = {}
    for when in ("preTokenBalances", "postTokenBalances"):
        held_by = {entry["accountIndex"]: entry["uiTokenAmount"]["amount"] for entry in value[when]}
        amounts[when] = sorted(held_by.values())
    assert amounts == {"preTokenBalances": ["0", "700"], "postTokenBalances": ["250", "450"]}
    (shown,) = value["accounts"]
    assert shown["data"]["parsed"]["info"]["tokenAmount"]["uiAmountString"] == "2.5"
    # The payer, a mint of 82 bytes, two accounts of 165, and the program with its code; 64 more for each.
    program = node.ledger.account(TOKENS)
    assert program is not None
    code_bytes = 0
    if program.owner == UPGRADEABLE_LOADER:
        code = node.ledger.account(Pubkey(program.data[4:36]))
        assert code is not None
        code_bytes = 64 + len(code.data)
    expected = 64 + (64 + 82) + 2 * (64 + 165) + 64 + len(program.data) + code_bytes
    assert value["loadedAccountsDataSize"] == expected
    # It lands with the same balances.
    node.ledger.submit(bytes(transaction), skip_preflight=False)
    node.town.advance()
    config = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    landed = await node.result("getTransaction", str(transaction.signatures[0]), config)
    for name in ("fee", "preBalances", "postBalances", "preTokenBalances", "postTokenBalances"):
        assert landed["meta"][name] == value[name]


async def test_a_rehearsal_that_fails_moves_its_fee_alone(node: Node, key: NewKey) -> None:
    transaction = node.town.sign(node.town.pay(to := key(), 5_000 * SOL))
    text = base64.b64encode(bytes(transaction)).decode()
    options = {
        "encoding": "base64",
        "commitment": "processed",
        "accounts": {"addresses": [str(to)], "encoding": "base64"},
    }
    value = (await node.result("simulateTransaction", text, options))["value"]
    assert value["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert value["accounts"] == [None]
    assert value["preBalances"][0] - value["postBalances"][0] == 5_000
    assert value["preBalances"][1:] == value["postBalances"][1:]


async def test_a_fee_is_known_of_payers_without_money_of_nonces_and_of_checked_signatures(
    node: Node, key: NewKey
) -> None:
    payer, nonce, stored = key(), key(), Hash.new_unique()
    state = (1).to_bytes(4, "little") * 2 + bytes(payer) + bytes(stored) + (5_000).to_bytes(8, "little")
    node.town.plant(nonce, SOL, state)
    advance = advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=nonce, authorized_pubkey=payer))
    checks = Instruction(ED25519, bytes([3, 0]), [])

    async def fee(blockhash: Hash, *instructions: Instruction) -> int | None:
        message = Message.new_with_blockhash(instructions, payer, blockhash)
        text = base64.b64encode(bytes(message)).decode()
        value: int | None = (await node.result("getFeeForMessage", text, {"commitment": "processed"}))[
            "value"
        ]
        return value

    pay = transfer(TransferParams(from_pubkey=payer, to_pubkey=nonce, lamports=1))
    assert await fee(node.town.blockhash(), pay) == 5_000
    assert await fee(node.town.blockhash(), pay, checks) == 20_000
    assert await fee(stored, advance, pay) == 5_000
    # The value must be the nonce's, and advancing it come first.
    assert await fee(Hash.new_unique(), advance, pay) is None
    assert await fee(stored, pay, advance) is None


async def test_rehearsals_and_fees_of_what_makes_no_sense_are_refused(node: Node, key: NewKey) -> None:
    table = AddressLookupTableAccount(key(), [to := key()])
    payer, blockhash = node.town.payer, node.town.blockhash()
    message = MessageV0.try_compile(payer.pubkey(), [node.town.pay(to, SOL)], [table], blockhash)
    transaction = base64.b64encode(bytes(VersionedTransaction(message, [payer]))).decode()
    options = {"encoding": "base64", "commitment": "processed"}
    missing = "invalid transaction: Transaction loads an address table account that doesn't exist"
    for method in ("simulateTransaction", "sendTransaction"):
        assert await node.error(method, transaction, options) == {"code": -32602, "message": missing}
    # A message whose instruction names an account that it does not have.
    call = CompiledInstruction(200, b"", b"")
    broken = Message.new_with_compiled_instructions(1, 0, 0, [payer.pubkey()], blockhash, [call])
    error = await node.error("getFeeForMessage", base64.b64encode(bytes(broken)).decode())
    assert error["code"] == -32602
    assert error["message"].startswith("invalid transaction message: ")
