"""Where decoded positions belong: their groups and their exact lines, in columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.book.leaf import CONTENT_BYTES, LIMBO, ROW, THRESHOLD_MAX
from engine.book.shelves import Shelves
from engine.domain import Side
from engine.protocol.margin import MAINTENANCE_TIERS
from engine.protocol.position_columns import COLUMNS, PositionColumns
from engine.protocol.threshold_columns import thresholds_e6

_NO_TIER = len(MAINTENANCE_TIERS)
_TIER_LIMITS = np.array([highest for highest, _ in MAINTENANCE_TIERS])
_BEYOND = int(_TIER_LIMITS[-1]) + 1
_TIERS = np.searchsorted(_TIER_LIMITS, np.arange(_BEYOND + 1))  # by leverage
_TIERS[0] = _NO_TIER


def _content(kind: np.dtype[np.void]) -> list[tuple[object, ...]]:
    """The fields that say what an account says: names, types and places."""
    return [(name, *field) for name, field in (kind.fields or {}).items() if field[1] < CONTENT_BYTES]


assert _content(ROW) == _content(COLUMNS), "a row of a leaf begins as a decoded position does"


def rows_of(columns: PositionColumns, slots: NDArray[np.uint64] | int, epoch: int) -> NDArray[np.void]:
    """The positions as rows of leaves, read in these slots."""
    rows = np.empty(len(columns.rows), ROW)
    # Both begin with the same fields: all of them at once.
    read = np.ascontiguousarray(columns.rows).view(np.uint8).reshape(-1, COLUMNS.itemsize)
    rows.view(np.uint8).reshape(-1, ROW.itemsize)[:, :CONTENT_BYTES] = read[:, :CONTENT_BYTES]
    rows["slot"], rows["epoch"] = slots, epoch
    return rows


def group_numbers(shelves: Shelves, columns: PositionColumns) -> NDArray[np.int64]:
    """The number of each position's group; LIMBO for those that cannot be decided."""
    tiers = _TIERS.take(columns.rows["leverage"], mode="clip")
    table = np.full((len(columns.symbols), len(Side), _NO_TIER + 1), LIMBO, dtype=np.int64)
    for symbol_number, symbol in enumerate(columns.symbols):
        table[symbol_number, :, :_NO_TIER] = shelves.group_numbers(symbol)
    at = (columns.rows["symbol"].astype(np.int64) * len(Side) + columns.rows["is_short"]) * (_NO_TIER + 1)
    numbers: NDArray[np.int64] = table.reshape(-1).take(at + tiers)
    return numbers


def lines_of(
    rows: NDArray[np.void], is_short: NDArray[np.uint8], numbers: NDArray[np.int64], factor_milli: int
) -> NDArray[np.int64]:
    """The mark at which each position's health falls below factor_milli / 1000, in 1e-6 USD; 0 in limbo."""
    lines = np.zeros(len(rows), dtype=np.int64)
    for side in Side:
        picked = np.flatnonzero((is_short == (side is Side.SHORT)) & (numbers != LIMBO))
        lines[picked] = thresholds_e6(
            side,
            size_e6=rows["size_e6"][picked],
            entry_price_e6=rows["entry_price_e6"][picked],
            collateral_e6=rows["collateral_e6"][picked],
            leverage=rows["leverage"][picked],
            factor_milli=factor_milli,
            most=THRESHOLD_MAX,
        )
    return lines
