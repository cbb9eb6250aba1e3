"""A transaction as it comes over the wire: decoded within the node's limits, its message at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from solders.hash import Hash
from solders.message import Message, MessageV0
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from engine.sandbox.cluster.rpc_errors import INVALID_PARAMS, TransactionRefused

MAX_TRANSACTION_BYTES = 1232
RUST_TYPE = "solana_transaction::versioned::VersionedTransaction"

AnyMessage: TypeAlias = Message | MessageV0
"""The two message versions that this node runs."""


@dataclass(frozen=True, slots=True)
class WireTransaction:
    """A well-formed transaction; whether its signatures fit is not yet known."""

    raw: bytes
    signed: VersionedTransaction
    message: AnyMessage
    signature: Signature

    def has_valid_signatures(self) -> bool:
        """Whether every signature is its key's over the message."""
        return all(self.signed.verify_with_results())

    def with_blockhash(self, blockhash: Hash) -> WireTransaction:
        """The same with another blockhash, for simulation: its signatures no longer fit."""
        message, header = self.message, self.message.header
        renewed: AnyMessage
        if isinstance(message, MessageV0):
            renewed = MessageV0(
                header, message.account_keys, blockhash, message.instructions, message.address_table_lookups
            )
        else:
            renewed = Message.new_with_compiled_instructions(
                header.num_required_signatures,
                header.num_readonly_signed_accounts,
                header.num_readonly_unsigned_accounts,
                message.account_keys,
                blockhash,
                message.instructions,
            )
        signed = VersionedTransaction.populate(renewed, self.signed.signatures)
        return WireTransaction(bytes(signed), signed, renewed, self.signature)


def decode_transaction(raw: bytes) -> WireTransaction:
    """The transaction of some bytes; raises TransactionRefused for too many bytes and for malformed ones."""
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise _refused(
            f"decoded {RUST_TYPE} too large: {len(raw)} bytes (max: {MAX_TRANSACTION_BYTES} bytes)"
        )
    try:
        signed = VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise _refused(f"failed to deserialize {RUST_TYPE}: {error}") from error
    message = signed.message
    if not isinstance(message, Message | MessageV0):
        raise _refused("invalid transaction: Transaction version is unsupported")
    try:
        signed.sanitize()
    except SanitizeError as error:
        raise _refused(f"invalid transaction: Transaction failed to sanitize: {error}") from error
    return WireTransaction(raw, signed, message, signed.signatures[0])


def _refused(message: str) -> TransactionRefused:
    return TransactionRefused(INVALID_PARAMS, message)
