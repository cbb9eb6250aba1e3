"""The state of token accounts, mints and multisigs as both SPL token programs keep it in account data.

The layouts and the rules of what counts as such an account are those of the programs' own state module; the
second program's extensions follow the base state behind a byte that says what the account is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from solders.pubkey import Pubkey

TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
TOKEN_PROGRAMS = frozenset((TOKEN_PROGRAM, TOKEN_2022_PROGRAM))
NATIVE_MINT = Pubkey.from_string("So11111111111111111111111111111111111111112")
NATIVE_MINT_DECIMALS = 9

TOKEN_ACCOUNT_BYTES = 165
MINT_BYTES = 82
MULTISIG_BYTES = 355
MINT_OFFSET = 0
OWNER_OFFSET = 32
DELEGATE_OFFSET = 72
ACCOUNT_STATES = ("uninitialized", "initialized", "frozen")
_AMOUNT_OFFSET = 64
_STATE_OFFSET = 108
_MINT_KIND = 1
_ACCOUNT_KIND = 2
_TLV_OFFSET = TOKEN_ACCOUNT_BYTES + 1
_TOKEN_ACCOUNT = struct.Struct("<32s32sQI32sBIQQI32s")
_MINT = struct.Struct("<I32sQBBI32s")
_TLV_HEADER = struct.Struct("<HH")
# Nobody may mint it: its supply is what the program's accounts wrap.
NATIVE_MINT_DATA = _MINT.pack(0, bytes(32), 0, NATIVE_MINT_DECIMALS, 1, 0, bytes(32))


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A holder's account of one mint. Amounts are in the mint's smallest unit; `state` is one of
    ACCOUNT_STATES; `rent_reserve_lamports` is None unless the account wraps SOL."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    state: str
    rent_reserve_lamports: int | None
    delegated_amount: int
    close_authority: Pubkey | None


@dataclass(frozen=True, slots=True)
class Mint:
    """A kind of token. `supply` is in its smallest unit, of which 10^decimals make one token."""

    mint_authority: Pubkey | None
    supply: int
    decimals: int
    freeze_authority: Pubkey | None


@dataclass(frozen=True, slots=True)
class Multisig:
    """An authority that needs `required` of its signers."""

    required: int
    valid: int
    signers: tuple[Pubkey, ...]


def token_account_of(data: bytes) -> TokenAccount | None:
    """The token account in account data; None when the data is none that has been initialized."""
    if not _is_whole(data, TOKEN_ACCOUNT_BYTES, _ACCOUNT_KIND):
        return None
    (
        mint,
        owner,
        amount,
        has_delegate,
        delegate,
        state,
        is_native,
        reserve,
        delegated_amount,
        has_closer,
        closer,
    ) = _TOKEN_ACCOUNT.unpack_from(data)
    if not 1 <= state < len(ACCOUNT_STATES) or max(has_delegate, is_native, has_closer) > 1:
        return None
    return TokenAccount(
        mint=Pubkey(mint),
        owner=Pubkey(owner),
        amount=amount,
        delegate=Pubkey(delegate) if has_delegate else None,
        state=ACCOUNT_STATES[state],
        rent_reserve_lamports=reserve if is_native else None,
        delegated_amount=delegated_amount,
        close_authority=Pubkey(closer) if has_closer else None,
    )


def mint_of(data: bytes) -> Mint | None:
    """The mint in account data; None when the data is none that has been initialized."""
    if not _is_whole(data, MINT_BYTES, _MINT_KIND):
        return None
    has_authority, authority, supply, decimals, initialized, has_freezer, freezer = _MINT.unpack_from(data)
    if initialized != 1 or max(has_authority, has_freezer) > 1:
        return None
    return Mint(
        mint_authority=Pubkey(authority) if has_authority else None,
        supply=supply,
        decimals=decimals,
        freeze_authority=Pubkey(freezer) if has_freezer else None,
    )


def multisig_of(data: bytes) -> Multisig | None:
    """The multisig in account data; None when the data is none that has been initialized."""
    if len(data) != MULTISIG_BYTES or data[2] != 1:
        return None
    keys = (Pubkey(data[offset : offset + 32]) for offset in range(3, MULTISIG_BYTES, 32))
    return Multisig(data[0], data[1], tuple(key for key in keys if key != Pubkey.default()))


def is_token_account(data: bytes) -> bool:
    """Whether data is an initialized token account by the cheap test that nodes filter with."""
    if len(data) <= _STATE_OFFSET or data[_STATE_OFFSET] == 0:
        return False
    if len(data) == TOKEN_ACCOUNT_BYTES:
        return True
    return (
        len(data) > TOKEN_ACCOUNT_BYTES
        and len(data) != MULTISIG_BYTES
        and data[TOKEN_ACCOUNT_BYTES] == _ACCOUNT_KIND
    )


def amount_in(data: bytes) -> int:
    """What an initialized token account holds in its smallest unit, without reading the rest of it."""
    return int.from_bytes(data[_AMOUNT_OFFSET : _AMOUNT_OFFSET + 8], "little")


def extensions_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The extensions behind the base state, in order: the number of each type and its value."""
    offset = _TLV_OFFSET
    while offset + _TLV_HEADER.size <= len(data):
        kind, length = _TLV_HEADER.unpack_from(data, offset)
        offset += _TLV_HEADER.size
        if kind == 0 or offset + length > len(data):
            return
        yield kind, data[offset : offset + length]
        offset += length


def _is_whole(data: bytes, base_bytes: int, kind: int) -> bool:
    """Whether data has the length of a base state, alone or with extensions of that kind of account."""
    if len(data) == base_bytes:
        return True
    if len(data) < _TLV_OFFSET or len(data) == MULTISIG_BYTES:
        return False
    return data[TOKEN_ACCOUNT_BYTES] == kind and not any(data[base_bytes:TOKEN_ACCOUNT_BYTES])
