"""Where decoded positions belong: their groups and their exact lines, in columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.book.leaf import LIMBO, ROW, THRESHOLD_MAX
from engine.book.shelves import Shelves
from engine.domain import Side
from engine.protocol.margin import MAINTENANCE_TIERS
from engine.protocol.position_columns import PositionColumns
from engine.protocol.threshold_columns import thresholds_e6

_TIER_LIMITS = np.array([highest for highest, _ in MAINTENANCE_TIERS])
_NO_TIER = len(_TIER_LIMITS)
_CONTENT = tuple(name for name in ROW.names or () if name not in ("slot", "epoch"))


def rows_of(columns: PositionColumns, slots: NDArray[np.uint64] | int, epoch: int) -> NDArray[np.void]:
    """The positions as rows of leaves, read in these slots."""
    rows = np.zeros(len(columns.rows), ROW)
    for name in _CONTENT:
        rows[name] = columns.rows[name]
    rows["slot"], rows["epoch"] = slots, epoch
    return rows


def group_numbers(shelves: Shelves, columns: PositionColumns) -> NDArray[np.int64]:
    """The number of each position's group; LIMBO for those that cannot be decided."""
    leverage = columns.rows["leverage"]
    tiers = np.searchsorted(_TIER_LIMITS, leverage)
    tiers[leverage == 0] = _NO_TIER
    table = np.full((len(columns.symbols), len(Side), _NO_TIER + 1), LIMBO, dtype=np.int64)
    for symbol_number, symbol in enumerate(columns.symbols):
        for side_number, flank in enumerate(shelves.flanks(symbol)):
            table[symbol_number, side_number, :_NO_TIER] = [group.number for group in flank.groups]
    numbers: NDArray[np.int64] = table[columns.rows["symbol"], columns.rows["is_short"], tiers]
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
