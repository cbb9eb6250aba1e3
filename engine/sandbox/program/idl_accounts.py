"""The program's IDL as accounts on chain, in the two places where Anchor's clients look for it.

Clients up to Anchor 0.32 (`@coral-xyz/anchor`) read an account of the program's own, those of Anchor 1
(`@anchor-lang/core`) one of the program-metadata program. Both are as their tools write them, with no
authority: nobody may change them.
"""

from __future__ import annotations

import json
import struct
import zlib
from hashlib import sha256

from solders.account import Account
from solders.pubkey import Pubkey

PROGRAM_METADATA = Pubkey.from_string("ProgM6JCCvbYkfKqJYHePx4xxSUSqJp7rh8Lyv7nk7S")

_SEED = "anchor:idl"
_IDL_DISCRIMINATOR = sha256(b"internal:IdlAccount").digest()[:8]
_NOBODY = bytes(32)
_METADATA_SEED = b"idl".ljust(16, b"\0")
# discriminator, program, authority, is mutable, is canonical, seed, encoding, compression, format, source,
# data length, padding
_METADATA_HEADER = struct.Struct("<B32s32s??16sBBBBI5x")
_METADATA, _UTF8, _ZLIB, _JSON, _DIRECT = 2, 1, 2, 1, 0

_ACCOUNT_OVERHEAD_BYTES = 128
_RENT_LAMPORTS_PER_BYTE = 6_960


def anchor_account(program_id: Pubkey, idl: bytes) -> tuple[Pubkey, Account]:
    """Where `Program.fetchIdl` of `@coral-xyz/anchor` looks, and what it finds there."""
    base, _ = Pubkey.find_program_address([], program_id)
    packed = _packed(program_id, idl)
    data = _IDL_DISCRIMINATOR + _NOBODY + len(packed).to_bytes(4, "little") + packed
    return Pubkey.create_with_seed(base, _SEED, program_id), _rent_exempt(data, program_id)


def metadata_account(program_id: Pubkey, idl: bytes) -> tuple[Pubkey, Account]:
    """Where `Program.fetchIdl` of `@anchor-lang/core` looks, and what it finds there."""
    address, _ = Pubkey.find_program_address([bytes(program_id), b"", _METADATA_SEED], PROGRAM_METADATA)
    packed = _packed(program_id, idl)
    header = _METADATA_HEADER.pack(
        _METADATA, bytes(program_id), _NOBODY, False, True, _METADATA_SEED,
        _UTF8, _ZLIB, _JSON, _DIRECT, len(packed),
    )  # fmt: skip
    return address, _rent_exempt(header + packed, PROGRAM_METADATA)


def _packed(program_id: Pubkey, idl: bytes) -> bytes:
    """The IDL deflated, with the address under which the program runs."""
    described = json.loads(idl) | {"address": str(program_id)}
    return zlib.compress(json.dumps(described, separators=(",", ":")).encode())


def _rent_exempt(data: bytes, owner: Pubkey) -> Account:
    return Account((_ACCOUNT_OVERHEAD_BYTES + len(data)) * _RENT_LAMPORTS_PER_BYTE, data, owner)
