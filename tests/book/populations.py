"""Random positions of a few symbols, and the same questions answered the slow way, position by position."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from random import Random

from solders.pubkey import Pubkey

from engine.book.book import terms_of
from engine.domain import Generation, Position, Price, Side, Verdict
from engine.protocol.margin import health_at, is_below, is_liquidatable

SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD")
MARKS_E6 = {"BTC/USD": 60_000 * 10**6, "ETH/USD": 3_000 * 10**6, "SOL/USD": 150 * 10**6}
LEVERAGES = (1, 5, 20, 21, 50, 75, 100, 200, 500, 1000)


def price(symbol: str, price_e6: int | None = None, verdict: Verdict = Verdict.OK) -> Price:
    """A price of a symbol; its usual mark unless another is given."""
    mark = MARKS_E6[symbol] if price_e6 is None else price_e6
    return Price(symbol, mark, 0, mark, -6, 1, 1, verdict)


def random_position(rng: Random, slot: int = 1, address: Pubkey | None = None) -> Position:
    """A position near its mark; some stand below their lines, few are equal to another."""
    symbol, leverage = rng.choice(SYMBOLS), rng.choice(LEVERAGES)
    entry_e6 = max(1, round(MARKS_E6[symbol] * rng.uniform(0.97, 1.03)))
    notional_e6 = int(rng.lognormvariate(8.5, 1.1) * 10**6)
    size_e6 = max(1, notional_e6 * 10**6 // entry_e6)
    return Position(
        address=Pubkey.from_bytes(rng.randbytes(32)) if address is None else address,
        owner=Pubkey.from_bytes(rng.randbytes(32)),
        symbol=symbol,
        side=rng.choice(tuple(Side)),
        size_e6=size_e6,
        collateral_e6=int(notional_e6 / leverage * rng.uniform(0.9, 2.0)),
        entry_price_e6=entry_e6,
        leverage=leverage,
        maintenance_margin_e6=rng.randrange(10**12),
        is_liquidated=False,
        created_at_s=rng.randrange(2**31),
        generation=Generation.DOCUMENTED,
        slot=slot,
    )


def random_positions(seed: int, count: int, slot: int = 1) -> list[Position]:
    """Many of them."""
    rng = Random(seed)
    return [random_position(rng, slot) for _ in range(count)]


def of_symbol(positions: list[Position], symbol: str) -> Iterator[Position]:
    """Those of one symbol."""
    return (position for position in positions if position.symbol == symbol)


def liquidatable_at(position: Position, mark_e6: int) -> bool:
    """By the exact margin arithmetic."""
    return is_liquidatable(health_at(terms_of(position), mark_e6))


def below_at_risk_at(position: Position, mark_e6: int) -> bool:
    """By the exact margin arithmetic, the liquidatable among them."""
    return is_below(health_at(terms_of(position), mark_e6), 1300)


def debt_e6_at(position: Position, mark_e6: int) -> Fraction:
    """What the position would owe beyond its collateral at a mark."""
    return Fraction(max(0, -health_at(terms_of(position), mark_e6).equity_e12), 10**6)


def health_factor_at(position: Position, mark_e6: int) -> Fraction:
    """The exact health factor."""
    health = health_at(terms_of(position), mark_e6)
    return Fraction(10_000 * health.equity_e12, health.maintenance_bps * health.value_e12)
