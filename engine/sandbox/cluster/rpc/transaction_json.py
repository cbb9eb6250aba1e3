"""Transactions that landed, and what they did, in the JSON shapes and encodings of a node."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.encoding import base58_encode, base64_text, return_data_json
from engine.sandbox.cluster.parsed.token_amounts import AmountDisplay, amount_json
from engine.sandbox.cluster.rpc.message_json import (
    instruction_json,
    message_json,
    parsed_instruction_json,
    parsed_keys_json,
    parsed_message_json,
)
from engine.sandbox.cluster.rpc_errors import unsupported_transaction_version
from engine.sandbox.cluster.transactions.token_balances import TokenBalance
from engine.sandbox.cluster.transactions.transaction_accounts import TransactionAccounts
from engine.sandbox.cluster.transactions.transaction_faults import Fault
from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

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
    BASE64 = "base64"
    BASE58 = "base58"
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


def transaction_with_meta_json(
    landed: LandedTransaction,
    encoding: TransactionEncoding,
    newest_version: int | None,
    *,
    show_rewards: bool = True,
) -> dict[str, object]:
    """A transaction and what it did.

    Raises RpcError for a version above `newest_version`; None stands for callers that know legacy ones only.
    """
    version = _understood_version(landed.wire.message, newest_version)
    return {
        "transaction": transaction_json(landed, encoding),
        "meta": meta_json(landed, encoding, show_rewards=show_rewards),
        **version,
    }


def transaction_with_accounts_json(
    landed: LandedTransaction, newest_version: int | None, *, show_rewards: bool
) -> dict[str, object]:
    """A transaction's signatures and accounts, and what it did to balances; raises as the whole one does."""
    version = _understood_version(landed.wire.message, newest_version)
    meta = _balances_json(landed)
    if show_rewards:
        meta["rewards"] = []
    return {
        "transaction": {
            "signatures": [str(signature) for signature in landed.wire.signed.signatures],
            "accountKeys": parsed_keys_json(landed.wire.message, landed.accounts),
        },
        "meta": meta,
        **version,
    }


def transaction_json(landed: LandedTransaction, encoding: TransactionEncoding) -> object:
    """The transaction itself."""
    if encoding is TransactionEncoding.BASE64:
        return [base64_text(landed.wire.raw), "base64"]
    if encoding is TransactionEncoding.BASE58:
        return [base58_encode(landed.wire.raw), "base58"]
    if encoding is TransactionEncoding.BINARY:
        return base58_encode(landed.wire.raw)
    message = landed.wire.message
    return {
        "signatures": [str(signature) for signature in landed.wire.signed.signatures],
        "message": parsed_message_json(message, landed.accounts)
        if encoding is TransactionEncoding.JSON_PARSED
        else message_json(message),
    }


def meta_json(
    landed: LandedTransaction, encoding: TransactionEncoding, *, show_rewards: bool = True
) -> dict[str, object]:
    """What executing the transaction did."""
    metadata, accounts = landed.metadata, landed.accounts
    meta = _balances_json(landed)
    meta["innerInstructions"] = inner_instructions_json(metadata, accounts.every, encoding)
    meta["logMessages"] = metadata.logs()
    # No transaction earns its leader anything here: fees are burned whole.
    meta["rewards"] = [] if show_rewards else None
    if encoding is not TransactionEncoding.JSON_PARSED:
        meta["loadedAddresses"] = loaded_addresses_json(accounts)
    returned = return_data_json(metadata)
    if returned is not None:
        meta["returnData"] = returned
    meta["computeUnitsConsumed"] = metadata.compute_units_consumed()
    return meta


def loaded_addresses_json(accounts: TransactionAccounts) -> dict[str, object]:
    """The accounts that a transaction took from lookup tables."""
    return {
        "writable": [str(address) for address in accounts.loaded_writable],
        "readonly": [str(address) for address in accounts.loaded_readonly],
    }


def token_balances_json(balances: Sequence[TokenBalance]) -> list[object]:
    """What token accounts held before or after a transaction."""
    return [
        {
            "accountIndex": balance.account_index,
            "mint": str(balance.mint),
            "owner": str(balance.owner),
            "programId": str(balance.program_id),
            "uiTokenAmount": amount_json(balance.amount, AmountDisplay(balance.decimals)),
        }
        for balance in balances
    ]


def inner_instructions_json(
    metadata: TransactionMetadata, keys: Sequence[Pubkey], encoding: TransactionEncoding
) -> list[object]:
    """The cross-program calls of each instruction that made any."""
    groups: list[object] = []
    for index, calls in enumerate(metadata.inner_instructions()):
        if not calls:
            continue
        entries = []
        for call in calls:
            made, height = call.instruction(), call.stack_height()
            if encoding is TransactionEncoding.JSON_PARSED:
                entries.append(
                    parsed_instruction_json(made.program_id_index, made.accounts, made.data, height, keys)
                )
            else:
                entries.append(instruction_json(made.program_id_index, made.accounts, made.data, height))
        groups.append({"index": index, "instructions": entries})
    return groups


def _balances_json(landed: LandedTransaction) -> dict[str, object]:
    return {
        "err": landed.fault,
        "status": status_json(landed.fault),
        "fee": landed.fee_lamports,
        "preBalances": landed.pre_balances,
        "postBalances": landed.post_balances,
        "preTokenBalances": token_balances_json(landed.pre_token_balances),
        "postTokenBalances": token_balances_json(landed.post_token_balances),
    }


def _understood_version(message: AnyMessage, newest: int | None) -> dict[str, object]:
    """The `version` that is shown, not at all to callers that know legacy transactions only."""
    version = version_of(message)
    if isinstance(version, int) and (newest is None or newest < version):
        raise unsupported_transaction_version(version)
    return {} if newest is None else {"version": version}
