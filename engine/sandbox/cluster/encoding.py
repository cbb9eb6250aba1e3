"""Accounts and account data in the encodings and JSON shapes of a node."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import zstandard
from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata

from engine.sandbox.cluster.rpc_errors import INVALID_REQUEST, RpcError

MAX_BASE58_DATA_BYTES = 128
_ALPHABET = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT_OF = {character: digit for digit, character in enumerate(_ALPHABET)}
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


def base58_encode(data: bytes) -> str:
    """Bytes as Solana writes them in text."""
    number = int.from_bytes(data, "big")
    digits = bytearray()
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    leading_zeros = len(data) - len(data.lstrip(b"\0"))
    return (b"1" * leading_zeros + bytes(reversed(digits))).decode()


def base58_decode(text: str) -> bytes:
    """The bytes of base58 text; raises ValueError for any other text."""
    number = 0
    for character in text.encode():
        digit = _DIGIT_OF.get(character)
        if digit is None:
            raise ValueError("InvalidCharacter")
        number = number * 58 + digit
    leading_ones = len(text) - len(text.lstrip("1"))
    return b"\0" * leading_ones + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base64_text(data: bytes) -> str:
    """Standard base64 without a line end."""
    return binascii.b2a_base64(data, newline=False).decode()


def account_json(account: Account, encoding: AccountEncoding, data_slice: DataSlice | None) -> str:
    """An account's JSON object, as text.

    Raises RpcError for base58 of over 128 bytes. `jsonParsed` of a program without a parser is base64, as on
    a node.
    """
    data = account.data
    shown = data if data_slice is None else data_slice.of(data)
    executable = "true" if account.executable else "false"
    return (
        f'{{"data":{_data_json(shown, encoding)},"executable":{executable},"lamports":{account.lamports},'
        f'"owner":"{account.owner}","rentEpoch":{account.rent_epoch},"space":{len(data)}}}'
    )


def optional_account_json(
    account: Account | None, encoding: AccountEncoding, data_slice: DataSlice | None
) -> msgspec.Raw:
    """An account's JSON object, or null."""
    return msgspec.Raw(b"null" if account is None else account_json(account, encoding, data_slice).encode())


def keyed_account_json(
    address: Pubkey, account: Account, encoding: AccountEncoding, data_slice: DataSlice | None
) -> str:
    """One entry of getProgramAccounts, as text."""
    return f'{{"pubkey":"{address}","account":{account_json(account, encoding, data_slice)}}}'


def owned_accounts_json(
    owner: Pubkey,
    accounts: Iterable[tuple[Pubkey, Account]],
    encoding: AccountEncoding,
    data_slice: DataSlice | None,
) -> bytes:
    """The list of getProgramAccounts; all the accounts must belong to `owner`."""
    if encoding is AccountEncoding.BASE64 and data_slice is None:
        owner_text = str(owner)
        entries = [_owned_base64_json(address, account, owner_text) for address, account in accounts]
    else:
        entries = [
            keyed_account_json(address, account, encoding, data_slice) for address, account in accounts
        ]
    return f"[{','.join(entries)}]".encode()


def _owned_base64_json(
    address: Pubkey, account: Account, owner: str, to_base64: Callable[..., bytes] = binascii.b2a_base64
) -> str:
    """What snapshots of whole programs consist of: the same as keyed_account_json, in half the time."""
    data = account.data
    return (
        f'{{"pubkey":"{address}","account":{{"data":["{to_base64(data, newline=False).decode()}","base64"],'
        f'"executable":{"true" if account.executable else "false"},"lamports":{account.lamports},'
        f'"owner":"{owner}","rentEpoch":{account.rent_epoch},"space":{len(data)}}}}}'
    )


def return_data_json(metadata: TransactionMetadata) -> dict[str, object] | None:
    """What the last program returned, or None when nothing was returned."""
    returned = metadata.return_data()
    if not returned.data:
        return None
    return {"programId": str(returned.program_id), "data": [base64_text(returned.data), "base64"]}


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
