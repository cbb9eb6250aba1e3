"""Hermes's JSON read with suspicion: every price that is one, every other thing counted by why it is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.protocol.accounts import AccountRefused
from engine.protocol.pyth import U64_MAX, to_e6

I64_MAX: Final = 2**63 - 1
MAX_PRICES: Final = 1_000  # in one event; nobody watches so many symbols
_SIGNED: Final = re.compile(r"-?[0-9]{1,19}")
_UNSIGNED: Final = re.compile(r"[0-9]{1,20}")


class _Body(msgspec.Struct):
    parsed: list[msgspec.Raw]


class _Figures(msgspec.Struct):
    price: str
    conf: str
    expo: int
    publish_time: int


class _Entry(msgspec.Struct):
    id: str
    price: _Figures


@dataclass(frozen=True, slots=True)
class SecondPrice:
    """One price of the second source, in the units of `engine.domain`."""

    symbol: str
    price_e6: int
    conf_e6: int
    publish_time_s: int


def read_update(body: bytes, symbols: Mapping[str, str], count: Callable[[str], None]) -> list[SecondPrice]:
    """The prices of one update; `symbols` by feed id in lower hex. Raises nothing.

    `count` is called with a short, stable reason for the body or for each entry that is refused.
    """
    try:
        entries = msgspec.json.decode(body, type=_Body).parsed
    except msgspec.ValidationError:
        count("no list of prices")
        return []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        count("not JSON")
        return []
    if len(entries) > MAX_PRICES:
        count("too many prices")
        return []
    prices = []
    for entry in entries:
        try:
            prices.append(_read_entry(entry, symbols))
        except AccountRefused as refusal:
            count(refusal.reason)
    return prices


def _read_entry(raw: msgspec.Raw, symbols: Mapping[str, str]) -> SecondPrice:
    try:
        entry = msgspec.json.decode(raw, type=_Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AccountRefused("not a price") from None
    symbol = symbols.get(entry.id.lower().removeprefix("0x"))
    if symbol is None:
        raise AccountRefused("unknown feed id")
    figures = entry.price
    price = _whole(figures.price, _SIGNED, I64_MAX)
    if price <= 0:
        raise AccountRefused("price is not positive")
    if not 0 <= figures.publish_time <= I64_MAX:
        raise AccountRefused("publish time out of range")
    price_e6 = to_e6(price, figures.expo)
    if price_e6 == 0:
        raise AccountRefused("price truncates to zero")
    conf_e6 = to_e6(_whole(figures.conf, _UNSIGNED, U64_MAX), figures.expo)
    return SecondPrice(symbol, price_e6, conf_e6, figures.publish_time)


def _whole(text: str, pattern: re.Pattern[str], highest: int) -> int:
    if pattern.fullmatch(text) is None or abs(number := int(text)) > highest:
        raise AccountRefused("number out of range")
    return number
