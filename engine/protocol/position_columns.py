"""Many position accounts at once, decoded into columns: the same checks and reasons as `decode_position`.

Accounts of one length and symbol length have one layout, so each such group is a single view of its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol.account_block import AccountBlock
from engine.protocol.accounts import (
    DEPLOYED_POSITION_OVERHEAD,
    DOCUMENTED_POSITION_SIZE,
    FOREIGN_DISCRIMINATOR,
    MAX_SYMBOL_BYTES,
    POSITION_DISCRIMINATOR,
)

_WORD = np.dtype("<u8")
_FEW = 64  # names: to look each of them up is quicker than to go through all places
_PLACES = 1 << 14
_SPREAD, _PLACE_SHIFT = np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(64 - 14)  # 2^64 by the golden ratio

DEPLOYED, DOCUMENTED = 0, 1
"""The generations by number, in the order of `domain.Generation`."""

_HEAD = np.dtype([("discriminator", "V8"), ("owner", "V32"), ("symbol_length", "<u4")])
_HEAD_BYTES = _HEAD.itemsize

_GENERATIONS = (Generation.DEPLOYED, Generation.DOCUMENTED)

COLUMNS = np.dtype(
    [
        ("owner", "V32"),
        ("size_e6", "u8"),
        ("collateral_e6", "u8"),
        ("entry_price_e6", "u8"),
        ("maintenance_margin_e6", "u8"),
        ("created_at_s", "i8"),
        ("leverage", "u2"),
        ("generation", "u1"),
        ("is_short", "u1"),
        ("is_liquidated", "u1"),
        ("symbol", "u2"),
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

    def position(self, index: int, address: Pubkey, slot: int) -> Position:
        """Row `index` as one position, read at this address and slot."""
        row = self.rows[index]
        return Position(
            address=address,
            owner=Pubkey.from_bytes(row["owner"].tobytes()),
            symbol=self.symbols[int(row["symbol"])],
            side=Side.SHORT if row["is_short"] else Side.LONG,
            size_e6=int(row["size_e6"]),
            collateral_e6=int(row["collateral_e6"]),
            entry_price_e6=int(row["entry_price_e6"]),
            leverage=int(row["leverage"]),
            maintenance_margin_e6=int(row["maintenance_margin_e6"]),
            is_liquidated=bool(row["is_liquidated"]),
            created_at_s=int(row["created_at_s"]),
            generation=_GENERATIONS[int(row["generation"])],
            slot=slot,
        )


def decode_positions(accounts: Sequence[bytes]) -> PositionColumns:
    """Decode position accounts of either generation; never raises for their content."""
    block = AccountBlock.of(accounts)
    groups, refused = _groups(accounts, block)
    symbols: dict[bytes, tuple[int, str | None]] = {}
    parts: list[NDArray[np.void]] = []
    origins: list[NDArray[np.int64]] = []
    for length, symbol_bytes, members in groups:
        reason = _reason_to_refuse(length, symbol_bytes)
        if reason is not None:
            refused += [(index, reason) for index in members.tolist()]
            continue
        if block is None:
            data = b"".join([accounts[index] for index in members.tolist()])
            letters = np.frombuffer(data, np.uint8).reshape(-1, length)
        else:
            letters = block.letters if len(members) == len(block) else block.letters[members]
        raw = letters.view(_layout(length, symbol_bytes)).reshape(-1)
        part, origin = _columns(raw, members, symbols, refused)
        parts.append(part)
        origins.append(origin)
    names = [name or "" for _, name in symbols.values()]
    if not parts:
        return PositionColumns(np.zeros(0, COLUMNS), np.zeros(0, np.int64), names, refused)
    if len(parts) == 1:
        return PositionColumns(parts[0], origins[0], names, refused)
    return PositionColumns(np.concatenate(parts), np.concatenate(origins), names, refused)


def _groups(
    accounts: Sequence[bytes], block: AccountBlock | None
) -> tuple[list[tuple[int, int, NDArray[np.int64]]], list[tuple[int, str]]]:
    """The accounts by their length and their symbol's, and those that are no positions at a glance."""
    if block is None:
        lengths = np.fromiter(map(len, accounts), dtype=np.int64, count=len(accounts))
    else:
        lengths = np.full(len(block), block.length)
    read = _heads(accounts, block)
    ours = read["discriminator"] == np.void(POSITION_DISCRIMINATOR)
    refused = [(index, FOREIGN_DISCRIMINATOR) for index in np.flatnonzero(~ours).tolist()]
    keys = lengths << 32 | read["symbol_length"].astype(np.int64)
    wanted = keys[ours]
    # Nearly always they are all alike.
    different = wanted[:1].tolist() if (wanted == wanted[:1]).all() else dict.fromkeys(wanted.tolist())
    groups = [(key >> 32, key & 0xFFFF_FFFF, np.flatnonzero(ours & (keys == key))) for key in different]
    return groups, refused


def _heads(accounts: Sequence[bytes], block: AccountBlock | None) -> NDArray[np.void]:
    """The first bytes of each account; zeros where one is shorter."""
    if block is not None and block.length >= _HEAD_BYTES:
        return np.ascontiguousarray(block.letters[:, :_HEAD_BYTES]).view(_HEAD).reshape(-1)
    return np.frombuffer(b"".join([data[:_HEAD_BYTES].ljust(_HEAD_BYTES, b"\0") for data in accounts]), _HEAD)


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


@lru_cache(64)
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
    different, which = _different(raw["symbol"])
    numbers: list[int] = []
    bad: dict[int, str] = {}
    for index, raw_name in enumerate(different):
        number, text = _symbol_number(raw_name, symbols)
        numbers.append(number)
        if text is None:
            bad[index] = "symbol is not UTF-8"
        elif not text.isprintable():
            bad[index] = "symbol is empty or has control characters"
    columns["symbol"] = np.array(numbers, dtype=np.uint16)[which]
    if bad:
        good = ~np.isin(which, list(bad))
        refused += [(int(origin[row]), bad[int(which[row])]) for row in np.flatnonzero(~good).tolist()]
    if "is_long" in (raw.dtype.names or ()):
        wrong = good & ((raw["is_long"] > 1) | (raw["is_liquidated"] > 1))
        refused += [(int(index), "flag is neither 0 nor 1") for index in origin[wrong]]
        good &= ~wrong
        columns["is_short"] = raw["is_long"] == 0
        columns["is_liquidated"] = raw["is_liquidated"]
        columns["created_at_s"] = raw["created_at_s"]
        columns["generation"] = DOCUMENTED
    return (columns, origin) if good.all() else (columns[good], origin[good])


def _different(names: NDArray[np.void]) -> tuple[list[bytes], NDArray[np.int64]]:
    """The different ones among some names, and which of them each is."""
    length = names.dtype.itemsize
    if length > _WORD.itemsize or len(names) <= _FEW:
        listed: list[bytes] = names.tolist()
        numbers = {name: number for number, name in enumerate(dict.fromkeys(listed))}
        return list(numbers), np.fromiter(map(numbers.__getitem__, listed), dtype=np.int64, count=len(names))
    padded = np.zeros((len(names), _WORD.itemsize), dtype=np.uint8)
    padded[:, :length] = np.ascontiguousarray(names).view(np.uint8).reshape(-1, length)
    words = padded.view(_WORD).reshape(-1)
    # Each name is given a place by a product; that is quicker than sorting, as long as no two want the same.
    places = ((words * _SPREAD) >> _PLACE_SHIFT).astype(np.intp)
    taken = np.flatnonzero(np.bincount(places, minlength=_PLACES))
    whose, numbers_at = np.empty((2, _PLACES), dtype=np.int64)
    whose[places], numbers_at[taken] = np.arange(len(words)), np.arange(len(taken))
    different, which = words[whose[taken]], numbers_at[places]
    if (different[which] != words).any():
        different = np.unique(words)
        which = different.searchsorted(words)
    return [word.to_bytes(length, "little") for word in different.tolist()], which


def _symbol_number(name: bytes, symbols: dict[bytes, tuple[int, str | None]]) -> tuple[int, str | None]:
    known = symbols.get(name)
    if known is None:
        try:
            text: str | None = name.decode()
        except UnicodeDecodeError:
            text = None
        known = symbols[name] = (len(symbols), text)
    return known
