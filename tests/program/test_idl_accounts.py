"""The IDL on chain: at the addresses at which Anchor's clients look, in the layouts that they read."""

from __future__ import annotations

import json
import zlib
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from engine.protocol.addresses import PROGRAM_ID
from engine.sandbox.program import idl, idl_account, idl_accounts
from engine.sandbox.program.idl_accounts import PROGRAM_METADATA

OTHER_PROGRAM = Pubkey.from_bytes(bytes([7] * 32))


def metadata_account(program_id: Pubkey) -> tuple[Pubkey, Account]:
    ((address, account),) = [
        (address, account)
        for address, account in idl_accounts(program_id).items()
        if account.owner == PROGRAM_METADATA
    ]
    return address, account


def test_anchors_own_account_holds_the_deflated_idl_behind_discriminator_authority_and_length() -> None:
    address, account = idl_account(PROGRAM_ID)
    assert str(address) == "4AVJyrbZXimtE4tLGSFEyc2Gj7bNy3d5THWQUvW55LJW"  # as @coral-xyz/anchor 0.32.1 says
    assert account.owner == PROGRAM_ID
    data = bytes(account.data)
    assert list(data[:8]) == [24, 70, 98, 191, 58, 144, 123, 158]
    assert data[8:40] == bytes(32)
    assert int.from_bytes(data[40:44], "little") == len(data) - 44
    assert json.loads(zlib.decompress(data[44:])) == json.loads(idl())


def test_the_metadata_account_holds_it_as_direct_zlib_utf8_json() -> None:
    address, account = metadata_account(PROGRAM_ID)
    assert str(address) == "DRCFJe2yNYLhHgRbcjwFC6j3c6D64Qq6yuWmsErbGWFQ"  # as @anchor-lang/core 1.2.0 says
    data = bytes(account.data)
    assert (data[0], data[1:33], data[33:65]) == (2, bytes(PROGRAM_ID), bytes(32))
    assert (data[65], data[66]) == (0, 1)  # immutable, canonical
    assert data[67:83] == b"idl".ljust(16, b"\0")
    assert tuple(data[83:87]) == (1, 2, 1, 0)  # UTF-8, zlib, JSON, in this account
    assert int.from_bytes(data[87:91], "little") == len(data) - 96
    assert json.loads(zlib.decompress(data[96:])) == json.loads(idl())


def test_a_program_under_another_address_is_described_with_that_address() -> None:
    accounts = idl_accounts(OTHER_PROGRAM)
    assert len(accounts) == 2
    assert accounts.keys().isdisjoint(idl_accounts(PROGRAM_ID))
    for account, start in ((idl_account(OTHER_PROGRAM)[1], 44), (metadata_account(OTHER_PROGRAM)[1], 96)):
        assert json.loads(zlib.decompress(bytes(account.data)[start:]))["address"] == str(OTHER_PROGRAM)


def test_both_accounts_pay_for_their_rent(chain: Any) -> None:
    for address, account in idl_accounts(PROGRAM_ID).items():
        assert account.lamports == chain.rent(len(account.data))
        chain.svm.set_account(address, account)
        assert chain.lamports(address) == account.lamports
