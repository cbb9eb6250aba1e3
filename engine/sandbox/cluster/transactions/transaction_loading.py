"""Transactions that cannot be loaded: since SIMD-0191 they are in the block, and pay their fee for nothing.

Rules of agave svm/src/account_loader.rs; sizes as SIMD-0186 counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from solders.account import Account
from solders.message import MessageV0
from solders.pubkey import Pubkey

from engine.sandbox.cluster.transactions.compute_budget import MAX_LOADED_BYTES
from engine.sandbox.cluster.transactions.transaction_faults import Fault
from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

PROGRAM_ACCOUNT_NOT_FOUND: Final = "ProgramAccountNotFound"
INVALID_PROGRAM: Final = "InvalidProgramForExecution"
LOADED_TOO_MUCH: Final = "MaxLoadedAccountsDataSizeExceeded"
ACCOUNT_BASE_BYTES = 64
LOOKUP_TABLE_BYTES = 8_248
_UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
_NATIVE_LOADER = Pubkey.from_string("NativeLoader1111111111111111111111111111111")
_PROGRAM_OWNERS = frozenset(
    {
        _UPGRADEABLE_LOADER,
        _NATIVE_LOADER,
        Pubkey.from_string("BPFLoader1111111111111111111111111111111111"),
        Pubkey.from_string("BPFLoader2111111111111111111111111111111111"),
        Pubkey.from_string("LoaderV411111111111111111111111111111111111"),
    }
)

AccountOf = Callable[[Pubkey], Account | None]


def program_fault(message: AnyMessage, keys: Sequence[Pubkey], account_of: AccountOf) -> Fault | None:
    """What is wrong with the first program that cannot be called; None when all can."""
    for instruction in message.instructions:
        account = account_of(keys[instruction.program_id_index])
        if account is None:
            return PROGRAM_ACCOUNT_NOT_FOUND
        if account.owner not in _PROGRAM_OWNERS:
            return INVALID_PROGRAM
    return None


def size_fault(
    message: AnyMessage, keys: Sequence[Pubkey], limit_bytes: int | None, account_of: AccountOf
) -> Fault | None:
    """Whether what a transaction loads exceeds the limit that it has set itself; None when it fits.

    Without a limit of its own the cluster's 64 MiB hold, which no 64 accounts of this sandbox reach.
    """
    if limit_bytes is None or limit_bytes >= MAX_LOADED_BYTES:
        return None
    return LOADED_TOO_MUCH if loaded_bytes(message, keys, account_of) > limit_bytes else None


def loaded_bytes(message: AnyMessage, keys: Sequence[Pubkey], account_of: AccountOf) -> int:
    """How much a transaction loads."""
    total = 0
    if isinstance(message, MessageV0):
        total += LOOKUP_TABLE_BYTES * len(message.address_table_lookups)
    for address in keys:
        account = account_of(address)
        if account is None:
            continue
        total += ACCOUNT_BASE_BYTES + len(account.data)
        code = _program_data(account, account_of)
        if code is not None:
            total += ACCOUNT_BASE_BYTES + len(code.data)
    return total


def _program_data(account: Account, account_of: AccountOf) -> Account | None:
    """Where the code of an upgradeable program is."""
    data = account.data
    if account.owner != _UPGRADEABLE_LOADER or len(data) != 36 or data[:4] != b"\2\0\0\0":
        return None
    return account_of(Pubkey.from_bytes(data[4:36]))
