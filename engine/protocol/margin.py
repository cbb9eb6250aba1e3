"""Exact margin mathematics: integers in, integers out, the same formulas as the program on chain.

With size S, entry e, mark p and collateral C in their 1e6 scale, equity and value carry a scale of 1e12:
equity = C * 1e6 +- S * (p - e), value = S * p. Maintenance ratios are basis points (1e-4), so every
comparison of ratios is made by cross-multiplying and nothing is divided before a decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.domain import Action, Health, Side

MAX_LEVERAGE = 1000
DUST_VALUE_E12 = 10 * 10**12  # positions worth less than 10 USD are closed whole
LAMPORTS_PER_SOL = 10**9

# (highest leverage, maintenance ratio in basis points)
MAINTENANCE_TIERS = ((20, 250), (50, 100), (100, 50), (500, 25), (MAX_LEVERAGE, 10))

# Ratios of the maintenance ratio m, over a denominator of 10^5 per basis point of m:
# fee f = m / 2 (which is at most 1.25 %, so the 2.5 % cap never binds), target t = 1.2 m.
_FEE_NUM, _FEE_DEN = 1, 20_000
_TARGET_NUM, _TARGET_DEN = 12, 100_000
_TARGET_MINUS_FEE_NUM = 7


class UnsupportedLeverage(ValueError):
    """The leverage is 0 or above 1000: no maintenance ratio is defined."""


class Figures(Protocol):
    """What a decision needs of a position at a mark: a Health, or anything that holds the same numbers."""

    @property
    def equity_e12(self) -> int: ...

    @property
    def value_e12(self) -> int: ...

    @property
    def maintenance_bps(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """The part of a position that decides its health."""

    side: Side
    size_e6: int
    entry_price_e6: int
    collateral_e6: int
    leverage: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What closing `closed_size_e6` units does to a position, in quote units of 1e-6 USD.

    fee and to_fund are paid out and round down; bad_debt is owed and rounds up.
    """

    closed_size_e6: int
    remaining_size_e6: int
    remaining_collateral_e6: int
    fee_e6: int
    to_fund_e6: int
    bad_debt_e6: int


def maintenance_bps(leverage: int) -> int:
    """The maintenance ratio in basis points; raises UnsupportedLeverage."""
    if leverage > 0:
        for highest, bps in MAINTENANCE_TIERS:
            if leverage <= highest:
                return bps
    raise UnsupportedLeverage(leverage)


def pnl_e12(side: Side, size_e6: int, entry_price_e6: int, mark_e6: int) -> int:
    """Unrealised profit or loss of `size_e6` units at a mark price, scaled by 1e12."""
    move = mark_e6 - entry_price_e6
    return size_e6 * (move if side is Side.LONG else -move)


def health_at(terms: Terms, mark_e6: int) -> Health:
    """Equity, value and maintenance ratio at a mark price; raises UnsupportedLeverage."""
    return Health(
        equity_e12=terms.collateral_e6 * 10**6
        + pnl_e12(terms.side, terms.size_e6, terms.entry_price_e6, mark_e6),
        value_e12=terms.size_e6 * mark_e6,
        maintenance_bps=maintenance_bps(terms.leverage),
    )


def is_liquidatable(health: Figures) -> bool:
    """Health factor strictly below 1: equity / value < maintenance ratio."""
    return 10_000 * health.equity_e12 < health.maintenance_bps * health.value_e12


def is_below(health: Figures, factor_milli: int) -> bool:
    """Health factor strictly below factor_milli / 1000 (1300 is the at-risk line)."""
    return 10_000 * 1000 * health.equity_e12 < factor_milli * health.maintenance_bps * health.value_e12


def partial_amount_e6(size_e6: int, health: Figures, mark_e6: int) -> int:
    """The smallest number of size units whose closing restores the target margin 1.2 m, capped at the size.

    x = (t V - E) / ((t - f) p), rounded up, from: closing x leaves equity E - f x p and value (S - x) p.
    The mark price must be positive.
    """
    missing = _TARGET_NUM * health.maintenance_bps * health.value_e12 - _TARGET_DEN * health.equity_e12
    freed_per_unit = _TARGET_MINUS_FEE_NUM * health.maintenance_bps * mark_e6
    return min(size_e6, max(0, -(-missing // freed_per_unit)))


def choose_action(size_e6: int, health: Figures, mark_e6: int) -> tuple[Action, int, str]:
    """Full, partial or hold for a position at a mark price, with the size units to close and the reason."""
    if not is_liquidatable(health):
        return Action.HOLD, 0, "health is 1 or above"
    if health.equity_e12 <= 0:
        return Action.FULL, size_e6, "no equity is left"
    if is_below(health, 100):
        return Action.FULL, size_e6, "health is below 0.1"
    if health.value_e12 < DUST_VALUE_E12:
        return Action.FULL, size_e6, "value is below 10 USD"
    amount_e6 = partial_amount_e6(size_e6, health, mark_e6)
    if amount_e6 >= size_e6:
        return Action.FULL, size_e6, "restoring the margin takes the whole size"
    return Action.PARTIAL, amount_e6, "closing a part restores the margin"


def fee_e6(closed_size_e6: int, mark_e6: int, bps: int) -> int:
    """The liquidation fee on the closed value, f = m / 2, rounded down to 1e-6 USD."""
    return _FEE_NUM * bps * closed_size_e6 * mark_e6 // (_FEE_DEN * 10**6)


def settle_partial(terms: Terms, mark_e6: int, amount_e6: int) -> Settlement:
    """Close `amount_e6` units (0 < amount < size) at the mark price.

    collateral' = C + pnl * x / S - fee. The realised part rounds up, towards the position, so that the
    margin after a partial liquidation is never short of the target by a rounding.
    """
    health = health_at(terms, mark_e6)
    realised_e6 = -(-pnl_e12(terms.side, amount_e6, terms.entry_price_e6, mark_e6) // 10**6)
    fee = fee_e6(amount_e6, mark_e6, health.maintenance_bps)
    return Settlement(
        closed_size_e6=amount_e6,
        remaining_size_e6=terms.size_e6 - amount_e6,
        remaining_collateral_e6=terms.collateral_e6 + realised_e6 - fee,
        fee_e6=fee,
        to_fund_e6=0,
        bad_debt_e6=0,
    )


def settle_full(terms: Terms, mark_e6: int) -> Settlement:
    """Close the whole position at the mark price: the fee from what equity is left, the rest to the fund."""
    health = health_at(terms, mark_e6)
    equity_e6 = max(0, health.equity_e12) // 10**6
    fee = min(equity_e6, fee_e6(terms.size_e6, mark_e6, health.maintenance_bps))
    return Settlement(
        closed_size_e6=terms.size_e6,
        remaining_size_e6=0,
        remaining_collateral_e6=0,
        fee_e6=fee,
        to_fund_e6=equity_e6 - fee,
        bad_debt_e6=-(min(0, health.equity_e12) // 10**6),
    )


def lamports_floor(quote_e6: int, sol_price_e6: int) -> int:
    """Quote units to lamports at a SOL/USD price, rounded down: for what is paid out."""
    return quote_e6 * LAMPORTS_PER_SOL // sol_price_e6


def lamports_ceil(quote_e6: int, sol_price_e6: int) -> int:
    """Quote units to lamports at a SOL/USD price, rounded up: for what is owed."""
    return -(-quote_e6 * LAMPORTS_PER_SOL // sol_price_e6)


def threshold_e6(terms: Terms, factor_milli: int = 1000) -> int:
    """The exact mark price, in units of 1e-6, at which a position's health falls below factor_milli / 1000.

    A long is below the line exactly when mark <= threshold, a short exactly when mark >= threshold. At 1000
    this is the liquidation price: from p* = (S e -+ C 1e6) / (S (1 -+ m)) and the strict comparison.
    The size must be positive.
    """
    whole = 10_000 * 1000
    required = maintenance_bps(terms.leverage) * factor_milli
    notional = terms.size_e6 * terms.entry_price_e6
    collateral = terms.collateral_e6 * 10**6
    if terms.side is Side.LONG:
        owed = whole * (notional - collateral)
        return 0 if owed <= 0 else -(-owed // (terms.size_e6 * (whole - required))) - 1
    return whole * (notional + collateral) // (terms.size_e6 * (whole + required)) + 1


def maintenance_margin_e6(size_e6: int, entry_price_e6: int, leverage: int) -> int:
    """The maintenance margin that a new position records: m times its value at entry, rounded up."""
    return -(-size_e6 * entry_price_e6 * maintenance_bps(leverage) // (10_000 * 10**6))


def utilization_bps(covered_lamports: int, contributions_lamports: int) -> int:
    """total_bad_debt_covered / total_contributions in basis points, 0 without contributions."""
    return 0 if contributions_lamports == 0 else 10_000 * covered_lamports // contributions_lamports
