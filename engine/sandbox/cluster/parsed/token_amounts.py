"""Token amounts as people read them: in whole tokens, by the interest or the scale that the mint shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from engine.sandbox.cluster.parsed.byte_reader import ByteReader, Unparsable
from engine.sandbox.cluster.parsed.token_state import (
    NATIVE_MINT_DECIMALS,
    extensions_of,
    mint_of,
)

# Long lists are of accounts of few mints, each of which is read once an account.
MINTS_REMEMBERED = 256
INTEREST_BEARING = 10
SCALED_UI_AMOUNT = 25
# The token program's own year and basis point.
_SECONDS_PER_YEAR = 60.0 * 60.0 * 24.0 * 365.24
_ONE_IN_BASIS_POINTS = 10_000.0
# Above this, 10^decimals is no 64-bit number and a node gives no `uiAmount`.
_MOST_DECIMALS_SHOWN = 19


@dataclass(frozen=True, slots=True)
class AmountDisplay:
    """How amounts of a mint are shown at one time: `factor` is None for mints without interest and scale.

    With interest the factor applies to the amount as it is; with a scale the product is cut to whole units.
    """

    decimals: int
    factor: float | None = None
    cut_to_units: bool = False


NATIVE_DISPLAY = AmountDisplay(NATIVE_MINT_DECIMALS)


@lru_cache(maxsize=MINTS_REMEMBERED)
def display_of(mint_data: bytes, unix_time_s: int) -> AmountDisplay | None:
    """How a mint's amounts are shown at a time; None when the data is no mint."""
    mint = mint_of(mint_data)
    if mint is None:
        return None
    for kind, value in extensions_of(mint_data):
        try:
            if kind == INTEREST_BEARING:
                return AmountDisplay(mint.decimals, _interest_factor(ByteReader(value), unix_time_s))
            if kind == SCALED_UI_AMOUNT:
                return AmountDisplay(mint.decimals, _scale(ByteReader(value), unix_time_s), True)
        except Unparsable:
            continue
    return AmountDisplay(mint.decimals)


def amount_json(amount: int, display: AmountDisplay) -> dict[str, object]:
    """An amount of a mint's smallest units, and the same in whole tokens as number and as text."""
    decimals = display.decimals
    if display.factor is None:
        text = _decimal_text(amount, decimals)
        shown = None if decimals > _MOST_DECIMALS_SHOWN else float(amount) / float(10**decimals)
    else:
        text = _scaled_text(amount, display, display.factor)
        shown = float(text)
    if shown is not None and not math.isfinite(shown):
        shown = None
    return {"amount": str(amount), "decimals": decimals, "uiAmount": shown, "uiAmountString": text}


def _decimal_text(amount: int, decimals: int) -> str:
    digits = str(amount)
    if decimals == 0:
        return digits
    digits = digits.rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")


def _scaled_text(amount: int, display: AmountDisplay, factor: float) -> str:
    scale = 10.0**display.decimals
    if display.cut_to_units:
        product = float(amount) * factor
        tokens = (float(math.trunc(product)) if math.isfinite(product) else product) / scale
    else:
        tokens = float(amount) * (factor / scale)
    text = f"{tokens:.{display.decimals}f}"
    return text.rstrip("0").rstrip(".") if display.decimals > 0 and math.isfinite(tokens) else text


def _interest_factor(config: ByteReader, unix_time_s: int) -> float:
    """Continuously compounded: by the average rate up to the last change, by the current one since."""
    config.take(32)
    started_s, average_rate_bps = config.i64(), config.i16()
    changed_s, current_rate_bps = config.i64(), config.i16()
    before = _compounded(average_rate_bps, changed_s - started_s)
    return before * _compounded(current_rate_bps, unix_time_s - changed_s)


def _compounded(rate_bps: int, duration_s: int) -> float:
    try:
        return math.exp(float(rate_bps * duration_s) / _SECONDS_PER_YEAR / _ONE_IN_BASIS_POINTS)
    except OverflowError:
        return math.inf


def _scale(config: ByteReader, unix_time_s: int) -> float:
    config.take(32)
    multiplier, effective_s, new_multiplier = config.f64(), config.i64(), config.f64()
    return new_multiplier if unix_time_s >= effective_s else multiplier
