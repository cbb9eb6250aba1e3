"""The filters of getProgramAccounts and programSubscribe: data size, bytes at an offset, token accounts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from engine.sandbox.cluster.encoding import base58_decode
from engine.sandbox.cluster.parsed.token_state import is_token_account
from engine.sandbox.cluster.rpc_errors import RpcError, invalid_params

MAX_FILTERS = 4
MAX_COMPARED_BYTES = 128
MAX_BASE58_CHARACTERS = 175
MAX_BASE64_CHARACTERS = 172

AccountFilter = Callable[[bytes], bool]
"""Whether an account's whole data passes."""


def parse_filters(value: object) -> list[AccountFilter]:
    """The filters of a request, all of which must pass; raises RpcError for unknown and oversized ones."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_params("Invalid params: filters: expected a sequence.")
    if len(value) > MAX_FILTERS:
        raise invalid_params(f"Too many filters provided; max {MAX_FILTERS}")
    return [_parse_filter(entry) for entry in value]


def passes(filters: list[AccountFilter], data: bytes) -> bool:
    """Whether data passes every filter."""
    return all(accepts(data) for accepts in filters)


def _parse_filter(entry: object) -> AccountFilter:
    if entry == "tokenAccountState" or (isinstance(entry, dict) and "tokenAccountState" in entry):
        return is_token_account
    if isinstance(entry, dict) and len(entry) == 1:
        ((kind, detail),) = entry.items()
        if kind == "dataSize" and isinstance(detail, int) and not isinstance(detail, bool) and detail >= 0:
            size = detail
            return lambda data: len(data) == size
        if kind == "memcmp" and isinstance(detail, dict):
            return _parse_memcmp(detail)
        if kind not in ("dataSize", "memcmp"):
            raise invalid_params(
                f"Invalid params: unknown variant `{str(kind)[:64]}`, expected one of `dataSize`, `memcmp`, "
                "`tokenAccountState`."
            )
    raise invalid_params("Invalid params: filters: invalid filter.")


def _parse_memcmp(detail: dict[str, object]) -> AccountFilter:
    offset = detail.get("offset")
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise invalid_params("Invalid params: memcmp: missing field `offset`.")
    expected = _compared_bytes(detail.get("bytes"), detail.get("encoding"))
    if len(expected) > MAX_COMPARED_BYTES:
        raise _too_large()
    end = offset + len(expected)
    return lambda data: data[offset:end] == expected


def _compared_bytes(value: object, encoding: object) -> bytes:
    if isinstance(value, list):
        if not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in value):
            raise invalid_params("Invalid params: memcmp: invalid byte.")
        return bytes(value)
    if not isinstance(value, str):
        raise invalid_params("Invalid params: memcmp: missing field `bytes`.")
    try:
        if encoding == "base64":
            if len(value) > MAX_BASE64_CHARACTERS:
                raise _too_large()
            return base64.b64decode(value, validate=True)
        if encoding in (None, "base58", "binary"):
            if len(value) > MAX_BASE58_CHARACTERS:
                raise _too_large()
            return base58_decode(value)
    except (binascii.Error, ValueError) as error:
        raise invalid_params(f"Invalid param: invalid memcmp bytes: {error}") from error
    raise invalid_params(
        f"Invalid params: unknown variant `{str(encoding)[:64]}`, expected one of `base58`, `base64`."
    )


def _too_large() -> RpcError:
    return invalid_params(
        f"Invalid param: encoded binary data should be less than {MAX_COMPARED_BYTES + 1} bytes"
    )
