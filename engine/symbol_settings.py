"""The setting SYMBOLS: which symbols are watched, by which feed, account and programs, within which limits.

A JSON object, or the path of a file that holds one: an entry changes or adds one symbol, null leaves it out.
What an entry does not name is the protocol's own for its symbols, and the general setting for the limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from solders.pubkey import Pubkey

from engine.protocol.accounts import MAX_SYMBOL_BYTES
from engine.protocol.addresses import FEEDS, PYTH_PUSH_ORACLE, PYTH_RECEIVER, SOL_USD, Feed, feed_account

MAX_SYMBOLS: Final = 100  # so many feed ids fit into one request line
MAX_FILE_BYTES: Final = 2**20
LIMITS: Final = {
    "max_age_s": (1, 60),
    "halt_age_s": (60, 86_400),
    "max_confidence_bps": (1, 100),
    "max_jump_bps": (1, 100_000),
    "max_divergence_bps": (1, 10_000),
}
_FIELDS: Final = ("feed_id", "account", "shard", "receiver", "push_oracle", *LIMITS)


@dataclass(frozen=True, slots=True)
class SymbolSettings:
    """One symbol: its feed, the program that must own its account, and the limits that are its own."""

    feed: Feed
    receiver: Pubkey = PYTH_RECEIVER
    limits: Mapping[str, int] = field(default_factory=dict)


def default_symbols() -> tuple[SymbolSettings, ...]:
    """The protocol's own symbols."""
    return tuple(SymbolSettings(feed) for feed in FEEDS.values())


def parse_symbols(text: str) -> tuple[SymbolSettings, ...]:
    """Read the setting; raises ValueError that names the symbol and the field."""
    raw = _decoded(text if text.startswith("{") else _content(text))
    found: dict[str, SymbolSettings] = {each.feed.symbol: each for each in default_symbols()}
    for symbol, entry in raw.items():
        _check_symbol(symbol)
        if entry is None:
            found.pop(symbol, None)
        else:
            found[symbol] = _symbol(symbol, entry)
    if SOL_USD.symbol not in found:
        raise ValueError("must keep SOL/USD: the program pays in lamports at its price")
    if len(found) > MAX_SYMBOLS:
        raise ValueError(f"names {len(found)} symbols, {MAX_SYMBOLS} are the most")
    _check_distinct(each.feed for each in found.values())
    return tuple(found.values())


def _content(path_text: str) -> str:
    path = Path(path_text)
    try:
        if path_text.isprintable():
            path = path.expanduser()
            if path.stat().st_size <= MAX_FILE_BYTES:
                return path.read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError):
        pass
    raise ValueError("must be a JSON object, or the path of a readable file of one of at most 1 MiB")


def _decoded(text: str) -> dict[str, Any]:
    try:
        raw = json.loads(text, object_pairs_hook=_without_repetition)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(raw, dict):
        raise ValueError("must be a JSON object of symbols")
    return raw


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"names {_shown(twice)} twice")
    return dict(pairs)


def _check_symbol(symbol: str) -> None:
    if not symbol.isprintable() or not 1 <= len(symbol.encode(errors="replace")) <= MAX_SYMBOL_BYTES:
        raise ValueError(f"{_shown(symbol)} is no symbol: 1 to {MAX_SYMBOL_BYTES} bytes, printable")


def _symbol(symbol: str, entry: object) -> SymbolSettings:
    if not isinstance(entry, dict):
        raise ValueError(f"{symbol} must be an object of its settings, or null")
    for name in entry:
        if name not in _FIELDS:
            raise ValueError(f"{symbol}.{_shown(name)} is not known: {', '.join(_FIELDS)}")
    shard = _whole(symbol, "shard", entry.get("shard", 0), 0, 65_535)
    push_oracle = _address(symbol, "push_oracle", entry, PYTH_PUSH_ORACLE)
    feed_id = _feed_id(symbol, entry)
    account = _address(symbol, "account", entry, feed_account(feed_id, shard, push_oracle))
    limits = {
        name: _whole(symbol, name, entry[name], low, high)
        for name, (low, high) in LIMITS.items()
        if name in entry
    }
    receiver = _address(symbol, "receiver", entry, PYTH_RECEIVER)
    return SymbolSettings(Feed(symbol, feed_id, account), receiver, limits)


def _feed_id(symbol: str, entry: Mapping[str, Any]) -> bytes:
    if "feed_id" not in entry and symbol in FEEDS:
        return FEEDS[symbol].feed_id
    text = entry.get("feed_id")
    if isinstance(text, str) and re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.removeprefix("0x"))
    raise ValueError(f"{symbol}.feed_id must be 64 hexadecimal digits, not {_shown(text)}")


def _address(symbol: str, name: str, entry: Mapping[str, Any], default: Pubkey) -> Pubkey:
    if name not in entry:
        return default
    text = entry[name]
    try:
        return Pubkey.from_string(text)
    except (TypeError, ValueError):
        raise ValueError(
            f"{symbol}.{name} must be a base58 address of 32 bytes, not {_shown(text)}"
        ) from None


def _whole(symbol: str, name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise ValueError(f"{symbol}.{name} must be a whole number from {low} to {high}, not {_shown(value)}")


def _check_distinct(feeds: Iterable[Feed]) -> None:
    """Two symbols of one feed or one account are a slip, and one of them would never get a price."""
    owners: dict[bytes, str] = {}
    for feed in feeds:
        for name, value in (("feed_id", b"feed" + feed.feed_id), ("account", bytes(feed.account))):
            other = owners.setdefault(value, feed.symbol)
            if other != feed.symbol:
                raise ValueError(f"{feed.symbol}.{name} is that of {other} too")


def _shown(value: object) -> str:
    """A bad value as a message may show it: printable, short."""
    text = ascii(value)
    return text if len(text) <= 40 else text[:39] + "…"
