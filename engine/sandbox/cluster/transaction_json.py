"""Transactions in the JSON shapes and encodings of a node."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from engine.sandbox.cluster.encoding import base58_encode, base64_text, return_data_json
from engine.sandbox.cluster.history import LandedTransaction
from engine.sandbox.cluster.transaction_accounts import TransactionAccounts, is_static_writable
from engine.sandbox.cluster.transaction_faults import Fault
from engine.sandbox.cluster.wire_transaction import AnyMessage

MEMO_PROGRAMS = frozenset(
    Pubkey.from_string(address)
    for address in (
        "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
    )
)


class TransactionEncoding(StrEnum):
    """How a transaction is written."""

    BINARY = "binary"
    BASE58 = "base58"
    BASE64 = "base64"
    JSON = "json"
    JSON_PARSED = "jsonParsed"


def status_json(fault: Fault | None) -> dict[str, object]:
    """A transaction's result as Rust's `Result` is written."""
    return {"Ok": None} if fault is None else {"Err": fault}


def version_of(message: AnyMessage) -> int | str:
    """`"legacy"`, or the version number."""
    return 0 if isinstance(message, MessageV0) else "legacy"


def memo_of(landed: LandedTransaction) -> str | None:
    """What a transaction's memo instructions say, each behind its length in bytes; None without any."""
    keys = landed.accounts.every
    memos = []
    for instruction in landed.wire.message.instructions:
        if keys[instruction.program_id_index] in MEMO_PROGRAMS:
            try:
                text = instruction.data.decode()
            except UnicodeDecodeError:
                text = "(unparseable)"
            memos.append(f"[{len(instruction.data)}] {text}")
    return "; ".join(memos) or None


def transaction_json(landed: LandedTransaction, encoding: TransactionEncoding) -> object:
    """The transaction itself."""
    if encoding is TransactionEncoding.BASE64:
        return [base64_text(landed.wire.raw), "base64"]
    if encoding is TransactionEncoding.BASE58:
        return [base58_encode(landed.wire.raw), "base58"]
    if encoding is TransactionEncoding.BINARY:
        return base58_encode(landed.wire.raw)
    message = landed.wire.message
    signatures = [str(signature) for signature in landed.wire.signed.signatures]
    if encoding is TransactionEncoding.JSON_PARSED:
        return {"signatures": signatures, "message": _parsed_message_json(message, landed.accounts)}
    return {"signatures": signatures, "message": _raw_message_json(message)}


def meta_json(landed: LandedTransaction, encoding: TransactionEncoding) -> dict[str, object]:
    """What executing the transaction did."""
    metadata, accounts = landed.metadata, landed.accounts
    meta: dict[str, object] = {
        "err": landed.fault,
        "status": status_json(landed.fault),
        "fee": landed.fee_lamports,
        "preBalances": landed.pre_balances,
        "postBalances": landed.post_balances,
        "innerInstructions": inner_instructions_json(metadata, accounts.every, encoding),
        "logMessages": metadata.logs(),
        "computeUnitsConsumed": metadata.compute_units_consumed(),
        "rewards": [],
    }
    if encoding is not TransactionEncoding.JSON_PARSED:
        meta["loadedAddresses"] = {
            "writable": [str(address) for address in accounts.loaded_writable],
            "readonly": [str(address) for address in accounts.loaded_readonly],
        }
    returned = return_data_json(metadata)
    if returned is not None:
        meta["returnData"] = returned
    return meta


def inner_instructions_json(
    metadata: TransactionMetadata, keys: Sequence[Pubkey], encoding: TransactionEncoding
) -> list[object]:
    """The cross-program calls of each instruction that made any."""
    groups: list[object] = []
    for index, calls in enumerate(metadata.inner_instructions()):
        if calls:
            entries = [
                _instruction_json(
                    call.instruction().program_id_index,
                    call.instruction().accounts,
                    call.instruction().data,
                    call.stack_height(),
                    keys if encoding is TransactionEncoding.JSON_PARSED else None,
                )
                for call in calls
            ]
            groups.append({"index": index, "instructions": entries})
    return groups


def _raw_message_json(message: AnyMessage) -> dict[str, object]:
    header = message.header
    shown: dict[str, object] = {
        "accountKeys": [str(key) for key in message.account_keys],
        "header": {
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
            "numRequiredSignatures": header.num_required_signatures,
        },
        "instructions": [
            _instruction_json(entry.program_id_index, entry.accounts, entry.data, None, None)
            for entry in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }
    if isinstance(message, MessageV0):
        shown["addressTableLookups"] = _lookups_json(message)
    return shown


def _parsed_message_json(message: AnyMessage, accounts: TransactionAccounts) -> dict[str, object]:
    """`jsonParsed`: instructions of programs without a parser have addresses instead of indexes."""
    count = len(accounts.static)
    signers = message.header.num_required_signatures
    keys: list[object] = [
        _parsed_key(key, index < signers, is_static_writable(message, index, count), "transaction")
        for index, key in enumerate(accounts.static)
    ]
    keys += [_parsed_key(key, False, True, "lookupTable") for key in accounts.loaded_writable]
    keys += [_parsed_key(key, False, False, "lookupTable") for key in accounts.loaded_readonly]
    shown: dict[str, object] = {
        "accountKeys": keys,
        "instructions": [
            _instruction_json(entry.program_id_index, entry.accounts, entry.data, 1, accounts.every)
            for entry in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }
    if isinstance(message, MessageV0):
        shown["addressTableLookups"] = _lookups_json(message)
    return shown


def _parsed_key(key: Pubkey, signer: bool, writable: bool, source: str) -> dict[str, object]:
    return {"pubkey": str(key), "signer": signer, "source": source, "writable": writable}


def _lookups_json(message: MessageV0) -> list[object]:
    return [
        {
            "accountKey": str(lookup.account_key),
            "writableIndexes": list(lookup.writable_indexes),
            "readonlyIndexes": list(lookup.readonly_indexes),
        }
        for lookup in message.address_table_lookups
    ]


def _instruction_json(
    program_index: int, accounts: bytes, data: bytes, stack_height: int | None, keys: Sequence[Pubkey] | None
) -> dict[str, object]:
    if keys is None:
        return {
            "programIdIndex": program_index,
            "accounts": list(accounts),
            "data": base58_encode(data),
            "stackHeight": stack_height,
        }
    return {
        "programId": str(keys[program_index]),
        "accounts": [str(keys[index]) for index in accounts],
        "data": base58_encode(data),
        "stackHeight": stack_height,
    }
