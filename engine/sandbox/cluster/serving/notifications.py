"""The messages that subscribers get, as JSON bytes."""

from __future__ import annotations

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.encoding import AccountEncoding, DataSlice, account_json
from engine.sandbox.cluster.parsed import AccountOf
from engine.sandbox.cluster.rpc_errors import RpcError

RECEIVED_SIGNATURE = b'"receivedSignature"'
_NO_DATA = DataSlice(0, 0)
# What accountSubscribe reports of an account that no longer exists.
_CLOSED_ACCOUNT = Account(0, b"", Pubkey.default())
_encode = msgspec.json.Encoder().encode


def notification(kind: str, result: bytes, subscription_id: int) -> bytes:
    """One message of a subscription."""
    return b'{"jsonrpc":"2.0","method":"%bNotification","params":{"result":%b,"subscription":%d}}' % (
        kind.encode(),
        result,
        subscription_id,
    )


def in_context(slot: int, value: bytes) -> bytes:
    """A result that says of which slot it speaks."""
    return b'{"context":{"slot":%d},"value":%b}' % (slot, value)


def account_value(
    address: Pubkey, account: Account | None, encoding: AccountEncoding, account_of: AccountOf
) -> bytes:
    """An account as accountSubscribe tells it; one that was closed is an empty one of nobody's."""
    return _account_text(address, account or _CLOSED_ACCOUNT, encoding, account_of).encode()


def keyed_account_value(
    address: Pubkey, account: Account, encoding: AccountEncoding, account_of: AccountOf
) -> bytes:
    """An account as programSubscribe tells it."""
    shown = _account_text(address, account, encoding, account_of)
    return f'{{"pubkey":"{address}","account":{shown}}}'.encode()


def signature_value(landed: LandedTransaction) -> bytes:
    """What became of a transaction."""
    return _encode({"err": landed.fault})


def logs_value(landed: LandedTransaction) -> bytes:
    """A transaction's logs."""
    return _encode({"signature": str(landed.signature), "err": landed.fault, "logs": landed.metadata.logs()})


def slot_update(kind: str, slot: int, now_s: float, **details: object) -> bytes:
    """One step of a slot's life, as slotsUpdatesSubscribe tells it; stamped in milliseconds."""
    return _encode({"slot": slot, "timestamp": int(now_s * 1000), "type": kind, **details})


def frozen_stats(transactions: int, failed: int) -> dict[str, int]:
    """What a frozen slot held; each entry has one transaction, since they run one after the other here."""
    return {
        "numTransactionEntries": transactions,
        "numSuccessfulTransactions": transactions - failed,
        "numFailedTransactions": failed,
        "maxTransactionsPerEntry": min(transactions, 1),
    }


def _account_text(address: Pubkey, account: Account, encoding: AccountEncoding, account_of: AccountOf) -> str:
    try:
        return account_json(account, encoding, None, address, account_of)
    except RpcError:
        # It was too late to refuse when the data outgrew base58: a node puts these words in their place.
        emptied = account_json(account, encoding, _NO_DATA)
        return emptied.replace('""', '"error: data too large for bs58 encoding"', 1)
