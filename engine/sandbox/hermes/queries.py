"""Reading a request's query string, with the refusals of the real service for what it cannot use."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

ENCODINGS = ("hex", "base64")
ASSET_TYPES = ("crypto", "fx", "equity", "metal", "rates", "crypto_redemption_rate")
FEED_ID_BYTES = 32
_IDS = re.compile(r"ids\[\d*\]")


Query: TypeAlias = Sequence[tuple[str, str]]
"""The parameters of a request in order, decoded; a name may come several times."""


class QueryRefused(Exception):
    """The service does not answer this query: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class UpdateQuery:
    """Which updates are wanted, and how. Updates here are never out of order, so nobody can leave any out."""

    ids: tuple[bytes, ...]
    encoding: str
    parsed: bool
    benchmarks_only: bool


def parse_update_query(query: Query, known: Collection[bytes]) -> UpdateQuery:
    """The query of the update endpoints; raises QueryRefused.

    Feed ids are hex with or without "0x", in any case; each is answered once. Parameters that the service
    does not know are ignored, as there.
    """
    given = [value for name, value in query if _IDS.fullmatch(name)]
    if not given:
        raise _malformed("missing field `ids`")
    ids = list(dict.fromkeys(_feed_id(text) for text in given))
    encoding = _word(_first(query, "encoding", "hex"), ENCODINGS)
    parsed = _flag(_first(query, "parsed", "true"))
    _flag(_first(query, "allow_unordered", "false"))
    benchmarks_only = _flag(_first(query, "benchmarks_only", "false"))
    ignore_unknown = _flag(_first(query, "ignore_invalid_price_ids", "false"))
    unknown = [feed_id for feed_id in ids if feed_id not in known]
    if unknown and not ignore_unknown:
        names = ", ".join(f"0x{feed_id.hex()}" for feed_id in unknown)
        raise QueryRefused(404, f"Price ids not found: {names}")
    return UpdateQuery(
        tuple(feed_id for feed_id in ids if feed_id in known), encoding, parsed, benchmarks_only
    )


def parse_asset_type(query: Query) -> str | None:
    """The asset type that feeds are filtered by; None when all are wanted; raises QueryRefused."""
    text = _first(query, "asset_type", "")
    return _word(text, ASSET_TYPES) if text else None


def parse_search(query: Query) -> str:
    """What the symbols of feeds must contain; "" when all are wanted."""
    return _first(query, "query", "")


def _first(query: Query, name: str, default: str) -> str:
    return next((value for each, value in query if each == name), default)


def _feed_id(text: str) -> bytes:
    digits = text.removeprefix("0x").removeprefix("0X")
    if len(digits) % 2:
        raise _malformed("Odd number of digits")
    wrong = re.search(r"[^0-9a-fA-F]", digits)
    if wrong is not None:
        raise _malformed(f"Invalid character {wrong[0]!a} at position {wrong.start()}")
    if len(digits) != 2 * FEED_ID_BYTES:
        raise _malformed("Invalid string length")
    return bytes.fromhex(digits)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise _malformed("provided string was not `true` or `false`")
    return text == "true"


def _word(text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        expected = ", ".join(f"`{word}`" for word in words)
        shown = ascii(text[:32])[1:-1]
        raise _malformed(f"unknown variant `{shown}`, expected one of {expected}")
    return text


def _malformed(what: str) -> QueryRefused:
    return QueryRefused(400, f"Failed to deserialize query string: {what}")
