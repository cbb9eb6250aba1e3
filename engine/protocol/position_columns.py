"""Many position accounts at once, decoded into columns: the same checks and reasons as `decode_position`.

Accounts of one length and symbol length have one layout, so each such group is a single view of its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.protocol.accounts import (
    DEPLOYED_POSITION_OVERHEAD,
    DOCUMENTED_POSITION_SIZE,
    MAX_SYMBOL_BYTES,
    POSITION_DISCRIMINATOR,
)

DEPLOYED, DOCUMENTED = 0, 1
"""The generations by number, in the order of `domain.Generation`."""

_SYMBOL_LENGTH = slice(40, 44)

COLUMNS = np.dtype(
    [
        ("owner", "V32"),
        ("size_e6", "u8"),
        ("collateral_e6", "u8"),
        ("entry_price_e6", "u8"),
        ("maintenance_margin_e6", "u8"),
        ("created_at_s", "i8"),
        ("leverage", "u2"),
        ("symbol", "u2"),
        ("generation", "u1"),
        ("is_short", "u1"),
        ("is_liquidated", "u1"),
    ]
)
"""`symbol` is an index into `PositionColumns.symbols`."""


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """Decoded positions: `origin[i]` is the index of the account from which row i was read.

    `refused` has the index and the reason of every account that is not a position.
    """

    rows: NDArray[np.void]
    origin: NDArray[np.int64]
    symbols: list[str]
    refused: list[tuple[int, str]]


def decode_positions(accounts: Sequence[bytes]) -> PositionColumns:
    """Decode position accounts of either generation; never raises for their content."""
    groups: dict[tuple[int, bytes], list[int]] = {}
    refused: list[tuple[int, str]] = []
    for index, data in enumerate(accounts):
        if data[:8] != POSITION_DISCRIMINATOR:
            refused.append((index, "foreign discriminator"))
        else:
            groups.setdefault((len(data), data[_SYMBOL_LENGTH]), []).append(index)
    symbols: dict[bytes, tuple[int, str | None]] = {}
    parts: list[NDArray[np.void]] = []
    origins: list[NDArray[np.int64]] = []
    for (length, encoded_length), members in groups.items():
        symbol_bytes = int.from_bytes(encoded_length, "little")
        reason = _reason_to_refuse(length, symbol_bytes)
        if reason is not None:
            refused += [(index, reason) for index in members]
            continue
        raw = np.frombuffer(b"".join([accounts[index] for index in members]), _layout(length, symbol_bytes))
        part, origin = _columns(raw, np.array(members, dtype=np.int64), symbols, refused)
        parts.append(part)
        origins.append(origin)
    names = [name or "" for _, name in symbols.values()]
    if not parts:
        return PositionColumns(np.zeros(0, COLUMNS), np.zeros(0, np.int64), names, refused)
    return PositionColumns(np.concatenate(parts), np.concatenate(origins), names, refused)


def _reason_to_refuse(length: int, symbol_bytes: int) -> str | None:
    if length < DEPLOYED_POSITION_OVERHEAD:
        return "truncated"
    if symbol_bytes > MAX_SYMBOL_BYTES:
        return "symbol too long"
    if length not in (DOCUMENTED_POSITION_SIZE, DEPLOYED_POSITION_OVERHEAD + symbol_bytes):
        return "wrong length"
    if symbol_bytes == 0:
        return "symbol is empty or has control characters"
    return None


def _layout(length: int, symbol_bytes: int) -> np.dtype[np.void]:
    fields = [
        ("discriminator", "V8"),
        ("owner", "V32"),
        ("symbol_length", "<u4"),
        ("symbol", f"V{symbol_bytes}"),
        ("size_e6", "<u8"),
        ("collateral_e6", "<u8"),
        ("entry_price_e6", "<u8"),
        ("leverage", "<u2"),
        ("maintenance_margin_e6", "<u8"),
    ]
    if length == DOCUMENTED_POSITION_SIZE:
        fields += [("is_long", "u1"), ("is_liquidated", "u1"), ("created_at_s", "<i8")]
    fields.append(("padding", f"V{length - np.dtype(fields).itemsize}"))
    return np.dtype(fields)


def _columns(
    raw: NDArray[np.void],
    origin: NDArray[np.int64],
    symbols: dict[bytes, tuple[int, str | None]],
    refused: list[tuple[int, str]],
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """The columns of accounts of one layout, without those that have to be refused."""
    columns = np.zeros(len(raw), COLUMNS)
    for name in ("owner", "size_e6", "collateral_e6", "entry_price_e6", "maintenance_margin_e6", "leverage"):
        columns[name] = raw[name]
    good = np.ones(len(raw), dtype=np.bool_)
    names = raw["symbol"]
    unnamed = np.ones(len(raw), dtype=np.bool_)
    while unnamed.any():
        name = names[int(np.argmax(unnamed))]
        same = names == name
        number, text = _symbol_number(name.tobytes(), symbols)
        columns["symbol"][same] = number
        if text is None or not text.isprintable():
            reason = "symbol is not UTF-8" if text is None else "symbol is empty or has control characters"
            refused += [(int(index), reason) for index in origin[same]]
            good &= ~same
        unnamed &= ~same
    if "is_long" in (raw.dtype.names or ()):
        wrong = good & ((raw["is_long"] > 1) | (raw["is_liquidated"] > 1))
        refused += [(int(index), "flag is neither 0 nor 1") for index in origin[wrong]]
        good &= ~wrong
        columns["is_short"] = raw["is_long"] == 0
        columns["is_liquidated"] = raw["is_liquidated"]
        columns["created_at_s"] = raw["created_at_s"]
        columns["generation"] = DOCUMENTED
    return (columns, origin) if good.all() else (columns[good], origin[good])


def _symbol_number(name: bytes, symbols: dict[bytes, tuple[int, str | None]]) -> tuple[int, str | None]:
    known = symbols.get(name)
    if known is None:
        try:
            text: str | None = name.decode()
        except UnicodeDecodeError:
            text = None
        known = symbols[name] = (len(symbols), text)
    return known
