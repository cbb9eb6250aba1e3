"""Accounts and account data in the encodings and JSON shapes of a node."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import zstandard
from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from engine.sandbox.cluster.base58 import base58_decode, base58_encode
from engine.sandbox.cluster.parsed import AccountOf, account_data
from engine.sandbox.cluster.rpc_errors import INVALID_REQUEST, RpcError

__all__ = [
    "MAX_BASE58_DATA_BYTES",
    "AccountEncoding",
    "DataSlice",
    "account_json",
    "base58_decode",
    "base58_encode",
    "base64_text",
    "keyed_account_json",
    "optional_account_json",
    "parsed_token_entries",
    "return_data_json",
]

MAX_BASE58_DATA_BYTES = 128
# Every account that a transaction leaves behind is exempt from rent, and a node says so with this epoch.
RENT_EXEMPT_EPOCH = 2**64 - 1
_COMPRESSOR = zstandard.ZstdCompressor(level=0)


class AccountEncoding(StrEnum):
    """How account data is written; `binary` is the old base58 string without its name beside it."""

    BINARY = "binary"
    BASE58 = "base58"
    BASE64 = "base64"
    JSON_PARSED = "jsonParsed"
    BASE64_ZSTD = "base64+zstd"


@dataclass(frozen=True, slots=True)
class DataSlice:
    """The part of an account's data that is wanted."""

    offset: int
    length: int

    def of(self, data: bytes) -> bytes:
        """That part; shorter where the data ends."""
        return data[self.offset : self.offset + self.length]


def base64_text(data: bytes) -> str:
    """Standard base64 without a line end."""
    return binascii.b2a_base64(data, newline=False).decode()


def account_json(
    account: Account,
    encoding: AccountEncoding,
    data_slice: DataSlice | None,
    address: Pubkey | None = None,
    account_of: AccountOf | None = None,
) -> str:
    """An account's JSON object, as text.

    `jsonParsed` needs the account's address, and a reader of other accounts of the same bank (a token account
    is shown by its mint's decimals); without them, and for data that no parser knows, it is base64, as on a
    node. Raises RpcError for base58 of over 128 bytes.
    """
    data = account.data
    shown = None
    if encoding is AccountEncoding.JSON_PARSED and address is not None and account_of is not None:
        shown = _parsed_json(address, account.owner, data, account_of)
    if shown is None:
        shown = _data_json(data if data_slice is None else data_slice.of(data), encoding)
    return _with_data(account, shown, len(data))


def optional_account_json(
    account: Account | None,
    encoding: AccountEncoding,
    data_slice: DataSlice | None,
    address: Pubkey | None = None,
    account_of: AccountOf | None = None,
) -> msgspec.Raw:
    """An account's JSON object, or null."""
    if account is None:
        return msgspec.Raw(b"null")
    return msgspec.Raw(account_json(account, encoding, data_slice, address, account_of).encode())


def keyed_account_json(
    address: Pubkey,
    account: Account,
    encoding: AccountEncoding,
    data_slice: DataSlice | None,
    account_of: AccountOf | None = None,
) -> str:
    """One entry of getProgramAccounts, as text."""
    shown = account_json(account, encoding, data_slice, address, account_of)
    return f'{{"pubkey":"{address}","account":{shown}}}'


def parsed_token_entries(accounts: Iterable[tuple[Pubkey, Account]], account_of: AccountOf) -> Iterator[str]:
    """The token programs' accounts in `jsonParsed`, with their addresses; those that cannot be parsed are
    left out, as on a node."""
    for address, account in accounts:
        data = account.data
        shown = _parsed_json(address, account.owner, data, account_of)
        if shown is not None:
            yield f'{{"pubkey":"{address}","account":{_with_data(account, shown, len(data))}}}'


def return_data_json(metadata: TransactionMetadata) -> dict[str, object] | None:
    """What the last program returned, or None when nothing was returned."""
    returned = metadata.return_data()
    if not returned.data:
        return None
    return {"programId": str(returned.program_id), "data": [base64_text(returned.data), "base64"]}


def _with_data(account: Account, shown: str, space: int) -> str:
    executable = "true" if account.executable else "false"
    return (
        f'{{"data":{shown},"executable":{executable},"lamports":{account.lamports},'
        f'"owner":"{account.owner}","rentEpoch":{RENT_EXEMPT_EPOCH},"space":{space}}}'
    )


def _parsed_json(address: Pubkey, owner: Pubkey, data: bytes, account_of: AccountOf) -> str | None:
    parsed = account_data(address, owner, data, account_of)
    return None if parsed is None else msgspec.json.encode(parsed).decode()


def _data_json(data: bytes, encoding: AccountEncoding) -> str:
    if encoding is AccountEncoding.BASE64 or encoding is AccountEncoding.JSON_PARSED:
        return f'["{base64_text(data)}","base64"]'
    if encoding is AccountEncoding.BASE64_ZSTD:
        return f'["{base64_text(_COMPRESSOR.compress(data))}","base64+zstd"]'
    if len(data) > MAX_BASE58_DATA_BYTES:
        raise RpcError(
            INVALID_REQUEST,
            f"Encoded binary (base 58) data should be less than {MAX_BASE58_DATA_BYTES} bytes, "
            "please use Base64 encoding.",
        )
    if encoding is AccountEncoding.BASE58:
        return f'["{base58_encode(data)}","base58"]'
    return f'"{base58_encode(data)}"'
