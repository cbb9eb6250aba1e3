"""What a node's answers say, in the engine's own types: statuses, accounts, transactions and their faults."""

from __future__ import annotations

from solders.account import Account
from solders.transaction_status import (
    EncodedConfirmedTransactionWithStatusMeta,
    InstructionErrorCustom,
    TransactionConfirmationStatus,
    TransactionErrorInstructionError,
    TransactionStatus,
)

from engine.chain.port import (
    AccountRead,
    LandedTransaction,
    Level,
    RpcFailure,
    SignatureStatus,
    TransactionFault,
)


def read_fault(error: object | None) -> TransactionFault | None:
    """The solders error of a transaction as a TransactionFault, None for success."""
    if error is None:
        return None
    if isinstance(error, TransactionErrorInstructionError):
        inner: object = error.err
        if isinstance(inner, InstructionErrorCustom):
            return TransactionFault("Custom", inner.code)
        return TransactionFault(_variant(inner), None)
    return TransactionFault(_variant(error), None)


def _level(status: TransactionStatus) -> Level:
    """How far a transaction is; a node that leaves the word out has rooted it once it counts no more."""
    word = status.confirmation_status
    if word == TransactionConfirmationStatus.Finalized or (word is None and status.confirmations is None):
        return Level.FINALIZED
    return Level.CONFIRMED if word == TransactionConfirmationStatus.Confirmed else Level.PROCESSED


def _variant(error: object) -> str:
    """The bare variant name of a solders error, whose text is `Type.Variant` or `Type(...)`."""
    text = str(error)
    return text.rsplit(".", 1)[-1].split("(", 1)[0].strip() or type(error).__name__


def read_account(account: Account | None, slot: int) -> AccountRead:
    """An account at a slot, absent or not."""
    if account is None:
        return AccountRead(None, None, 0, slot)
    return AccountRead(bytes(account.data), account.owner, account.lamports, slot)


def read_status(status: TransactionStatus | None) -> SignatureStatus | None:
    """A status, None where the node knows none."""
    if status is None:
        return None
    return SignatureStatus(slot=status.slot, level=_level(status), fault=read_fault(status.err))


def read_transaction(value: EncodedConfirmedTransactionWithStatusMeta) -> LandedTransaction:
    """A landed transaction; raises RpcFailure when the node kept nothing but its bytes."""
    meta = value.transaction.meta
    if meta is None:
        raise RpcFailure("the node has the transaction without its meta")
    keys = list(value.transaction.transaction.message.account_keys)  # type: ignore[union-attr]  # base64 was asked for
    loaded = meta.loaded_addresses
    if loaded is not None:
        keys += [*loaded.writable, *loaded.readonly]
    changes = [post - pre for pre, post in zip(meta.pre_balances, meta.post_balances, strict=True)]
    return LandedTransaction(
        slot=value.slot,
        block_time_s=value.block_time,
        fault=read_fault(meta.err),
        fee_lamports=meta.fee,
        compute_units=meta.compute_units_consumed or 0,
        logs=list(meta.log_messages or []),
        lamports_change=dict(zip(keys, changes, strict=True)),
    )
