"""Whatever bytes an account or an instruction holds: it is put into words or left as it is, never a fault."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster import parsed
from engine.sandbox.cluster.encoding import AccountEncoding, account_json
from engine.sandbox.cluster.parsed.accounts import account_data
from engine.sandbox.cluster.parsed.token_state import TOKEN_2022_PROGRAM
from engine.sandbox.cluster.transactions.token_balances import token_balances

PROGRAMS = [
    Pubkey.from_string(address)
    for address in (
        "11111111111111111111111111111111",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
        "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
        "AddressLookupTab1e1111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "Stake11111111111111111111111111111111111111",
        "Sysvar1111111111111111111111111111111111111",
    )
]
ADDRESSES = [
    Pubkey.from_string(address)
    for address in (
        "SysvarC1ock11111111111111111111111111111111",
        "SysvarS1otHistory11111111111111111111111111",
        "SysvarRecentB1ockHashes11111111111111111111",
        "SysvarRent111111111111111111111111111111111",
        "SysvarEpochRewards1111111111111111111111111",
        "SysvarStakeHistory1111111111111111111111111",
    )
]
# Small numbers first: they are the kinds of instructions and states, behind which the parsers branch.
data = st.builds(
    lambda head, tail: bytes(head) + tail,
    st.lists(st.integers(0, 50), max_size=8),
    st.binary(max_size=400),
)


@settings(max_examples=2_000)
@given(st.sampled_from(PROGRAMS), st.integers(0, 9), data)
def test_any_instruction(program: Pubkey, accounts: int, content: bytes) -> None:
    shown = parsed.instruction(program, [Pubkey.default()] * accounts, content)
    if shown is not None:
        assert {"program", "parsed"} == set(shown)
        msgspec.json.encode(shown)


@settings(max_examples=2_000)
@given(st.sampled_from(PROGRAMS), st.sampled_from(ADDRESSES), data)
def test_any_account(owner: Pubkey, address: Pubkey, content: bytes) -> None:
    shown = account_data(address, owner, content, lambda _key: None)
    if shown is not None:
        assert shown["space"] == len(content)
        msgspec.json.encode(shown)
    account = Account(1, content, owner)
    text = account_json(account, AccountEncoding.JSON_PARSED, None, address, lambda _key: None)
    assert msgspec.json.decode(text)["space"] == len(content)


@settings(max_examples=1_000)
@given(st.binary(min_size=165, max_size=300), st.binary(min_size=82, max_size=300), st.booleans())
def test_any_token_account_of_any_mint(holding: bytes, mint: bytes, marked: bool) -> None:
    if marked:
        # Initialized, of both kinds and with every optional field's mark a valid one.
        holding = _put(holding, {72: 0, 73: 0, 74: 0, 75: 0, 108: 1, 109: 1, 110: 0, 111: 0, 112: 0})
        holding = _put(holding, {129: 0, 130: 0, 131: 0, 132: 0, 165: 2})
        mint = _put(mint, {0: 0, 1: 0, 2: 0, 3: 0, 45: 1, 46: 0, 47: 0, 48: 0, 49: 0, 165: 1})
        mint = mint[:82] + bytes(len(mint[82:165])) + mint[165:]
    accounts = {
        Pubkey(holding[:32]): Account(1, mint, TOKEN_2022_PROGRAM),
        ADDRESSES[1]: Account(1, holding, TOKEN_2022_PROGRAM),
    }
    shown = account_data(ADDRESSES[1], TOKEN_2022_PROGRAM, holding, accounts.get)
    msgspec.json.encode(shown)
    for balance in token_balances([TOKEN_2022_PROGRAM, *accounts], accounts.get):
        assert shown is not None
        assert 0 <= balance.decimals <= 255


def _put(content: bytes, values: dict[int, int]) -> bytes:
    changed = bytearray(content)
    for place, value in values.items():
        if place < len(changed):
            changed[place] = value
    return bytes(changed)


def test_unknown_extensions_are_not_shown_and_cut_ones_are_said_to_be() -> None:
    nobody = bytes(32)
    base = bytes(4) + nobody + struct.pack("<QBB", 5, 6, 1) + bytes(36) + bytes(83) + b"\x01"

    def extensions(tail: bytes) -> object:
        shown = parsed.account_data(Pubkey.default(), TOKEN_2022_PROGRAM, base + tail, lambda _key: None)
        assert shown is not None
        info: Any = shown["parsed"]
        return info["info"].get("extensions")

    assert extensions(struct.pack("<HH", 3, 32) + nobody + struct.pack("<HH", 999, 0)) is None
    assert extensions(struct.pack("<HH", 3, 31) + bytes(31)) == [{"extension": "unparseableExtension"}]
    assert extensions(struct.pack("<HH", 3, 33) + bytes(33)) == [{"extension": "unparseableExtension"}]
    assert extensions(b"") is None
