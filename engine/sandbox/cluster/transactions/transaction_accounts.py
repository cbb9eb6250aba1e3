"""The accounts that a transaction names: its own keys, those of its lookup tables, and which it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from solders.account import Account
from solders.message import MessageV0
from solders.pubkey import Pubkey

from engine.sandbox.cluster.transactions.transaction_faults import Fault
from engine.sandbox.cluster.transactions.wire_transaction import AnyMessage

LOOKUP_TABLE_PROGRAM = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
LOOKUP_TABLE_HEADER_BYTES = 56
# Where the lookup table program's state has what, behind its kind and the slot of its deactivation.
_LOOKUP_TABLE_STATE = (1).to_bytes(4, "little")
_LAST_EXTENDED_SLOT = slice(12, 20)
_LAST_EXTENDED_START = 20
_ADDRESS_BYTES = 32


@dataclass(frozen=True, slots=True)
class TransactionAccounts:
    """Accounts in the order in which instructions index them: static, loaded writable, loaded read-only."""

    static: list[Pubkey]
    loaded_writable: list[Pubkey]
    loaded_readonly: list[Pubkey]
    writable: list[Pubkey]

    @property
    def every(self) -> list[Pubkey]:
        """All of them, indexed as instructions do."""
        if not self.loaded_writable and not self.loaded_readonly:
            return self.static
        return self.static + self.loaded_writable + self.loaded_readonly


def accounts_of(message: AnyMessage, account: Callable[[Pubkey], Account | None]) -> TransactionAccounts:
    """Resolve a message's accounts; `account` reads lookup tables.

    A lookup that cannot be resolved is left out: the virtual machine refuses such a transaction anyway.
    """
    loaded_writable: list[Pubkey] = []
    loaded_readonly: list[Pubkey] = []
    if isinstance(message, MessageV0):
        for lookup in message.address_table_lookups:
            table = account(lookup.account_key)
            if table is None or table.owner != LOOKUP_TABLE_PROGRAM:
                continue
            addresses = table.data[LOOKUP_TABLE_HEADER_BYTES:]
            loaded_writable += _entries(addresses, lookup.writable_indexes)
            loaded_readonly += _entries(addresses, lookup.readonly_indexes)
    return with_loaded(message, loaded_writable, loaded_readonly)


def with_loaded(
    message: AnyMessage, loaded_writable: list[Pubkey], loaded_readonly: list[Pubkey]
) -> TransactionAccounts:
    """A message's accounts, given those that its lookup tables name."""
    static, header = message.account_keys, message.header
    signers = header.num_required_signatures
    writable = static[: signers - header.num_readonly_signed_accounts]
    writable += static[signers : len(static) - header.num_readonly_unsigned_accounts]
    return TransactionAccounts(static, loaded_writable, loaded_readonly, writable + loaded_writable)


def lookup_fault(message: AnyMessage, slot: int, account: Callable[[Pubkey], Account | None]) -> Fault | None:
    """Why a message's lookups cannot be resolved in the bank of a slot, None when they can.

    Addresses that were added in this very slot cannot be used before the next one.
    """
    for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
        table = account(lookup.account_key)
        if table is None:
            return "AddressLookupTableNotFound"
        if table.owner != LOOKUP_TABLE_PROGRAM:
            return "InvalidAddressLookupTableOwner"
        data = table.data
        if len(data) < LOOKUP_TABLE_HEADER_BYTES or data[:4] != _LOOKUP_TABLE_STATE:
            return "InvalidAddressLookupTableData"
        usable = (len(data) - LOOKUP_TABLE_HEADER_BYTES) // _ADDRESS_BYTES
        if int.from_bytes(data[_LAST_EXTENDED_SLOT], "little") >= slot:
            usable = data[_LAST_EXTENDED_START]
        if any(index >= usable for index in (*lookup.writable_indexes, *lookup.readonly_indexes)):
            return "InvalidAddressLookupTableIndex"
    return None


def is_static_writable(message: AnyMessage, index: int, key_count: int) -> bool:
    """Whether the message's header asks for a static account to be writable."""
    header = message.header
    signers = header.num_required_signatures
    if index < signers:
        return index < signers - header.num_readonly_signed_accounts
    return index < key_count - header.num_readonly_unsigned_accounts


def _entries(addresses: bytes, indexes: bytes) -> list[Pubkey]:
    count = len(addresses) // _ADDRESS_BYTES
    starts = [index * _ADDRESS_BYTES for index in indexes if index < count]
    return [Pubkey.from_bytes(addresses[start : start + _ADDRESS_BYTES]) for start in starts]
