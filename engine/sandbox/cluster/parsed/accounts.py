"""`jsonParsed` of an account: which programs' accounts can be put into words, and by whom."""

from __future__ import annotations

from collections.abc import Callable

from solders.pubkey import Pubkey

from engine.sandbox.cluster.parsed.byte_reader import Unparsable
from engine.sandbox.cluster.parsed.native_accounts import (
    parse_lookup_table,
    parse_nonce,
    parse_stake,
    parse_upgradeable,
)
from engine.sandbox.cluster.parsed.sysvars import parse_sysvar
from engine.sandbox.cluster.parsed.token_accounts import AccountOf, parse_token_account
from engine.sandbox.cluster.parsed.token_state import TOKEN_2022_PROGRAM, TOKEN_PROGRAM

_Parser = Callable[[Pubkey, bytes, AccountOf], dict[str, object]]


def account_data(
    address: Pubkey, owner: Pubkey, data: bytes, account_of: AccountOf
) -> dict[str, object] | None:
    """The data of an account in words; None when its program is none of the known ones, or the data not its.

    `account_of` reads the mint of a token account, and the clock, from the bank that is asked about.
    """
    known = _PROGRAMS.get(owner)
    if known is None:
        return None
    name, parse = known
    try:
        parsed = parse(address, data, account_of)
    except Unparsable:
        return None
    return {"program": name, "parsed": parsed, "space": len(data)}


def _token(_address: Pubkey, data: bytes, account_of: AccountOf) -> dict[str, object]:
    return parse_token_account(data, account_of)


_PROGRAMS: dict[Pubkey, tuple[str, _Parser]] = {
    TOKEN_PROGRAM: ("spl-token", _token),
    TOKEN_2022_PROGRAM: ("spl-token-2022", _token),
    Pubkey.default(): ("nonce", lambda _address, data, _read: parse_nonce(data)),
    Pubkey.from_string("AddressLookupTab1e1111111111111111111111111"): (
        "address-lookup-table",
        lambda _address, data, _read: parse_lookup_table(data),
    ),
    Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111"): (
        "bpf-upgradeable-loader",
        lambda _address, data, _read: parse_upgradeable(data),
    ),
    Pubkey.from_string("Stake11111111111111111111111111111111111111"): (
        "stake",
        lambda _address, data, _read: parse_stake(data),
    ),
    Pubkey.from_string("Sysvar1111111111111111111111111111111111111"): (
        "sysvar",
        lambda address, data, _read: parse_sysvar(address, data),
    ),
}
