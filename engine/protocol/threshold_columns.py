"""Exact liquidation prices of many positions at once: the integers of `margin.threshold_e6`, in columns.

The quotient is estimated in floats and then corrected by its remainder, which is exact in wrapping 64-bit
arithmetic as long as it is small. Where that cannot be shown, Python's integers do the division.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain import Side
from engine.protocol.margin import MAINTENANCE_TIERS, Terms, threshold_e6

UNSUPPORTED_BPS = 0
_WHOLE = 10_000_000  # basis points times thousandths
_SAFE_DIVISOR = float(2**60)
_SAFE_QUOTIENT = float(2**49)
_SAFE_PRICE = float(2**50)
_CORRECTIONS = 3

Integers = NDArray[np.uint64]


def _bps_by_leverage() -> NDArray[np.int64]:
    """For every leverage that an account can name; a look into it takes less than going through the tiers."""
    bps = np.full(np.iinfo(np.uint16).max + 1, UNSUPPORTED_BPS, dtype=np.int64)
    lowest = 1
    for highest, tier_bps in MAINTENANCE_TIERS:
        bps[lowest : highest + 1] = tier_bps
        lowest = highest + 1
    return bps


_BPS_AT = _bps_by_leverage()


def maintenance_bps_columns(leverage: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The maintenance ratio of each leverage in basis points; 0 where none is defined."""
    bps: NDArray[np.int64] = _BPS_AT[leverage]
    return bps


def thresholds_e6(
    side: Side,
    *,
    size_e6: Integers,
    entry_price_e6: Integers,
    collateral_e6: Integers,
    leverage: NDArray[np.uint16],
    factor_milli: int,
    most: int,
) -> NDArray[np.int64]:
    """`margin.threshold_e6` of each row, at most `most`. Sizes and leverages must be ones that it accepts."""
    bps = maintenance_bps_columns(leverage)
    if len(bps) and bps.min() == bps.max():
        bps = bps[:1]  # of one tier, as a group is: the factors are found once
    required = bps * factor_milli
    divisor_factor = (_WHOLE - required if side is Side.LONG else _WHOLE + required).astype(np.uint64)
    # Both terms share a factor; without it twice as large positions fit.
    common = np.gcd(divisor_factor, np.uint64(_WHOLE))
    divisor_factor //= common
    whole = np.uint64(_WHOLE) // common

    size_f, entry_f = size_e6.astype(np.float64), entry_price_e6.astype(np.float64)
    collateral_f = collateral_e6.astype(np.float64) * 1e6
    divisor_f = size_f * divisor_factor
    owed_f = size_f * entry_f - collateral_f if side is Side.LONG else size_f * entry_f + collateral_f
    quotient_f = owed_f * whole / divisor_f
    safe = (divisor_f < _SAFE_DIVISOR) & (np.abs(quotient_f) < _SAFE_QUOTIENT) & (entry_f < _SAFE_PRICE)

    quotient = np.floor(np.where(safe, quotient_f, 0.0)).astype(np.int64)
    divisor = (size_e6 * divisor_factor).view(np.int64)
    notional, collateral = size_e6 * entry_price_e6, collateral_e6 * np.uint64(10**6)
    owed = (notional - collateral if side is Side.LONG else notional + collateral) * whole
    remainder = (owed - quotient.view(np.uint64) * size_e6 * divisor_factor).view(np.int64)
    for _ in range(_CORRECTIONS):
        step = np.where(remainder < 0, -1, np.where(remainder >= divisor, 1, 0))
        if not step.any():
            break  # nearly always at once
        quotient += step
        remainder -= step * divisor
    safe &= (remainder >= 0) & (remainder < divisor)
    if side is Side.LONG:
        # Rounded up, and one less: the highest mark at which the long is still below its line.
        lines = np.maximum(quotient + (remainder > 0) - 1, 0)
        lines[(quotient < 0) | ((quotient == 0) & (remainder == 0))] = 0
    else:
        lines = quotient + 1
    lines = np.minimum(lines, most)
    for row in np.flatnonzero(~safe).tolist():
        terms = Terms(
            side, int(size_e6[row]), int(entry_price_e6[row]), int(collateral_e6[row]), int(leverage[row])
        )
        lines[row] = min(threshold_e6(terms, factor_milli), most)
    exact: NDArray[np.int64] = lines
    return exact
