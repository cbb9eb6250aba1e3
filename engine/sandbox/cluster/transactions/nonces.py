"""Durable nonces: transactions that carry a stored value in the place of a recent blockhash.

Solana's rules (agave runtime/src/bank/check_transactions.rs, system program's nonce state): the first
instruction advances the nonce account; the value that it holds is the message's blockhash, its authority has
signed, and it was not yet advanced in this block. The nonce advances whether the transaction fails or not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey

from engine.sandbox.cluster.transactions.transaction_accounts import is_static_writable
from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

SYSTEM_PROGRAM = Pubkey.default()
NONCE_ACCOUNT_BYTES = 80
_ADVANCE = (4).to_bytes(4, "little")
_INITIALIZE = (6).to_bytes(4, "little")
_CURRENT_AND_INITIALIZED = (1).to_bytes(4, "little") * 2
_AUTHORITY = slice(8, 40)
_VALUE = slice(40, 72)


@dataclass(frozen=True, slots=True)
class Nonce:
    """The nonce account that a message advances first."""

    address: Pubkey
    signer_indexes: tuple[int, ...]


def advanced_nonce(message: AnyMessage) -> Nonce | None:
    """The nonce that a message would use, None when it carries an ordinary blockhash."""
    if not message.instructions:
        return None
    first = message.instructions[0]
    if first.data[:4] != _ADVANCE or not first.accounts:
        return None
    keys, index = message.account_keys, first.accounts[0]
    if keys[first.program_id_index] != SYSTEM_PROGRAM or index >= len(keys):
        return None
    if not is_static_writable(message, index, len(keys)):
        return None
    signers = message.header.num_required_signatures
    return Nonce(keys[index], tuple(each for each in first.accounts if each < signers))


def sets_nonce(message: AnyMessage) -> bool:
    """Whether an instruction of a message gives a nonce account a value."""
    return any(
        instruction.data[:4] in (_ADVANCE, _INITIALIZE)
        and message.account_keys[instruction.program_id_index] == SYSTEM_PROGRAM
        for instruction in message.instructions
    )


def durable_value(blockhash: Hash) -> Hash:
    """The value that a nonce takes when it is advanced while this is the newest blockhash."""
    return Hash(hashlib.sha256(b"DURABLE_NONCE" + bytes(blockhash)).digest())


def holds(account: Account | None, value: Hash) -> bool:
    """Whether an account is an initialized nonce account with this value."""
    if account is None or account.owner != SYSTEM_PROGRAM:
        return False
    data = account.data
    return (
        len(data) == NONCE_ACCOUNT_BYTES
        and data[:8] == _CURRENT_AND_INITIALIZED
        and data[_VALUE] == bytes(value)
    )


def accepts_nonce(
    message: AnyMessage, newest_blockhash: Hash, account_of: Callable[[Pubkey], Account | None]
) -> Pubkey | None:
    """The nonce account whose value makes a message valid now, None when none does."""
    nonce = advanced_nonce(message)
    value = message.recent_blockhash
    if nonce is None or value == durable_value(newest_blockhash):
        return None
    account = account_of(nonce.address)
    if account is None or not holds(account, value):
        return None
    authority = Pubkey.from_bytes(account.data[_AUTHORITY])
    keys = message.account_keys
    return nonce.address if any(keys[index] == authority for index in nonce.signer_indexes) else None


def with_value(account: Account, value: Hash) -> Account:
    """A nonce account as it is after it was advanced to a value."""
    data = account.data
    advanced = data[: _VALUE.start] + bytes(value) + data[_VALUE.stop :]
    return Account(account.lamports, advanced, account.owner, account.executable, account.rent_epoch)
