"""The protocol's margin formulas in exact fractions of whole units, written from its description alone.

Nothing here knows how the engine computes: money is in USD, sizes in units, ratios are ratios, and only what
the protocol rounds is rounded. Integers scaled by 1e6 come in and go out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

MICRO = 10**6
LAMPORTS_PER_SOL = 10**9
DUST_USD = 10
_MAINTENANCE = (
    (1, 20, Fraction(25, 1000)),
    (21, 50, Fraction(10, 1000)),
    (51, 100, Fraction(5, 1000)),
    (101, 500, Fraction(25, 10_000)),
    (501, 1000, Fraction(1, 1000)),
)
_HIGHEST_FEE = Fraction(25, 1000)


@dataclass(frozen=True)
class Holding:
    """A position's own numbers: S, C and e scaled by 1e6, and its leverage."""

    is_long: bool
    size_e6: int
    collateral_e6: int
    entry_e6: int
    leverage: int


@dataclass(frozen=True)
class Closing:
    """What a liquidation does: amounts scaled by 1e6 as the protocol rounds them, and lamports."""

    is_full: bool
    closed_e6: int
    fee_e6: int
    to_fund_e6: int
    bad_debt_e6: int
    left_size_e6: int
    left_collateral_e6: int
    reward_lamports: int
    to_fund_lamports: int
    bad_debt_lamports: int


def maintenance(leverage: int) -> Fraction | None:
    """The maintenance ratio m of a leverage; None where the protocol has none."""
    return next((ratio for low, high, ratio in _MAINTENANCE if low <= leverage <= high), None)


def fee_ratio(m: Fraction) -> Fraction:
    """f = min(2.5 %, m / 2) of the closed value."""
    return min(_HIGHEST_FEE, m / 2)


class Standing:
    """A holding at a mark price (above zero, scaled by 1e6): equity E, value V and the ratio m."""

    def __init__(self, holding: Holding, mark_e6: int) -> None:
        m = maintenance(holding.leverage)
        assert m is not None
        size, mark = Fraction(holding.size_e6, MICRO), Fraction(mark_e6, MICRO)
        entry = Fraction(holding.entry_e6, MICRO)
        self.holding = holding
        self.m = m
        self.size = size
        self.mark = mark
        self.pnl = size * (mark - entry) if holding.is_long else size * (entry - mark)
        self.equity = Fraction(holding.collateral_e6, MICRO) + self.pnl
        self.value = size * mark
        self.health = self.equity / (self.value * m)

    @property
    def target(self) -> Fraction:
        """t = 1.2 m."""
        return self.m * Fraction(12, 10)

    def partial_e6(self) -> int:
        """x = (t V - E) / ((t - f) p), rounded up to a millionth of a unit."""
        freed = (self.target - fee_ratio(self.m)) * self.mark
        return ceil((self.target * self.value - self.equity) / freed * MICRO)

    def amount_to_close_e6(self) -> int | None:
        """None for a hold, the whole size for a full liquidation, less for a partial one."""
        if self.health >= 1:
            return None
        whole = self.holding.size_e6
        if self.health < Fraction(1, 10) or self.equity <= 0 or self.value < DUST_USD:
            return whole
        return min(whole, self.partial_e6())

    def margin_after(self, closed_e6: int) -> Fraction:
        """The margin ratio when so much is closed: equity E - f x p over value (S - x) p."""
        closed = Fraction(closed_e6, MICRO)
        left_equity = self.equity - fee_ratio(self.m) * closed * self.mark
        return left_equity / ((self.size - closed) * self.mark)

    def close(self, amount_e6: int, sol_price_e6: int) -> Closing:
        """Close so much at this mark; what is paid out rounds down, what is owed rounds up."""
        closed_value = Fraction(amount_e6, MICRO) * self.mark
        fee_e6 = floor(fee_ratio(self.m) * closed_value * MICRO)
        to_fund_e6 = bad_debt_e6 = left_e6 = 0
        is_full = amount_e6 == self.holding.size_e6
        if is_full:
            equity_left_e6 = max(0, floor(self.equity * MICRO))
            fee_e6 = min(fee_e6, equity_left_e6)
            to_fund_e6 = equity_left_e6 - fee_e6
            bad_debt_e6 = ceil(max(Fraction(0), -self.equity) * MICRO)
        else:
            realised = self.pnl * amount_e6 / self.holding.size_e6
            left_e6 = self.holding.collateral_e6 + ceil(realised * MICRO) - fee_e6
        per_quote = Fraction(LAMPORTS_PER_SOL, sol_price_e6)
        return Closing(
            is_full=is_full,
            closed_e6=amount_e6,
            fee_e6=fee_e6,
            to_fund_e6=to_fund_e6,
            bad_debt_e6=bad_debt_e6,
            left_size_e6=self.holding.size_e6 - amount_e6,
            left_collateral_e6=left_e6,
            reward_lamports=floor(fee_e6 * per_quote),
            to_fund_lamports=floor(to_fund_e6 * per_quote),
            bad_debt_lamports=ceil(bad_debt_e6 * per_quote),
        )


def line_usd(holding: Holding, factor: Fraction) -> Fraction:
    """The price at which the health factor is `factor`: p* = (S e -+ C) / (S (1 -+ factor m))."""
    m = maintenance(holding.leverage)
    assert m is not None
    size, entry = Fraction(holding.size_e6, MICRO), Fraction(holding.entry_e6, MICRO)
    collateral = Fraction(holding.collateral_e6, MICRO)
    if holding.is_long:
        return (size * entry - collateral) / (size * (1 - factor * m))
    return (size * entry + collateral) / (size * (1 + factor * m))


def last_mark_e6(holding: Holding, factor: Fraction) -> int:
    """The last mark, in whole 1e-6 USD, strictly on the bad side of a line; 0 for a long with none."""
    line_e6 = line_usd(holding, factor) * MICRO
    return max(0, ceil(line_e6) - 1) if holding.is_long else floor(line_e6) + 1


def maintenance_margin_e6(size_e6: int, entry_e6: int, leverage: int) -> int:
    """What an account records: m of the value at entry, owed, so rounded up."""
    m = maintenance(leverage)
    assert m is not None
    return ceil(Fraction(size_e6, MICRO) * Fraction(entry_e6, MICRO) * m * MICRO)


def mark_e6(raw: int, exponent: int) -> int:
    """price * 10^(exponent + 6), truncated to an integer."""
    return int(Fraction(raw) * Fraction(10) ** (exponent + 6))
