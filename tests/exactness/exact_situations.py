"""Positions over the whole range of their integers, and the marks at which something about them changes.

Everything follows from a seed, so that a case that fails can be had again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from random import Random

from exact_formulas import DUST_USD, MICRO, Holding, line_usd, maintenance

U64_MAX = 2**64 - 1
EDGES = (0, 1, 2, 10**6, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, U64_MAX - 1, U64_MAX)
TIER_EDGES = (1, 2, 20, 21, 50, 51, 100, 101, 500, 501, 999, 1000)
NEAR = range(-2, 3)
WILD_MARKS = 5
# Where health is 1 and where a full liquidation takes over from a partial one: at f / m, at 0.1 and at zero.
LINES = (Fraction(1), Fraction(1, 2), Fraction(1, 10), Fraction(0))


@dataclass(frozen=True)
class Situation:
    """A position, the at-risk line that is set, and the marks at which to look at it."""

    holding: Holding
    at_risk_milli: int
    marks_e6: tuple[int, ...]


def sized(rng: Random, highest_bits: int = 64) -> int:
    """A u64 whose bit lengths are alike likely: uniform ones would nearly all be of the largest magnitude."""
    if rng.random() < 0.08:
        return rng.choice(EDGES)
    bits = rng.randint(1, highest_bits)
    return rng.randrange(2 ** (bits - 1), 2**bits)


def _leveraged(rng: Random) -> Holding:
    """The collateral is about what the leverage asks for; all sorts of sizes and prices."""
    leverage = rng.choice(TIER_EDGES) if rng.random() < 0.5 else rng.randint(1, 1000)
    size, entry = max(1, sized(rng, 58)), max(1, sized(rng, 58))
    share = rng.choice((1, leverage, leverage, leverage, 2 * leverage, 100 * leverage))
    collateral = size * entry // (MICRO * share) + rng.randint(0, 3)
    return Holding(rng.random() < 0.5, size, min(U64_MAX, collateral), entry, leverage)


def _wild(rng: Random) -> Holding:
    leverage = rng.choice(TIER_EDGES) if rng.random() < 0.5 else rng.randint(1, 1000)
    return Holding(rng.random() < 0.5, max(1, sized(rng)), sized(rng), sized(rng), leverage)


def _on_the_line(rng: Random, factor: Fraction) -> Holding:
    """A position whose health is exactly `factor` at a whole mark: it tells if a comparison is strict."""
    leverage = rng.choice(TIER_EDGES)
    ratio = maintenance(leverage)
    assert ratio is not None
    sign = rng.choice((1, -1))
    # A multiple of every denominator in the formulas, so that the collateral is a whole number.
    size = 10**13 * rng.randrange(1, 2 ** rng.randint(1, 16))
    mark = rng.randrange(1, 2 ** rng.randint(2, 34))
    without_equity = mark * (1 - sign * factor * ratio)  # the entry at which no collateral is needed
    room = rng.randrange(1, 2 ** rng.randint(2, 24))
    entry = ceil(without_equity) + room if sign > 0 else max(0, floor(without_equity) - room)
    collateral = sign * size * (entry - without_equity) / MICRO
    assert collateral.denominator == 1
    return Holding(sign > 0, size, min(U64_MAX, int(collateral)), entry, leverage)


def _worth_the_dust_limit(rng: Random) -> Holding:
    """A position that is worth exactly 10 USD at a mark at which half of its margin is left, or more."""
    leverage = rng.choice(TIER_EDGES)
    ratio = maintenance(leverage)
    assert ratio is not None
    zeros = rng.randint(2, 11)
    size, mark = 10**zeros, DUST_USD * MICRO**2 // 10**zeros
    equity_e6 = floor(DUST_USD * MICRO * ratio * rng.randint(550, 990) / 1000)
    entry = mark + rng.randint(0, mark // 100)
    return Holding(True, size, equity_e6 + size * (entry - mark) // MICRO, entry, leverage)


def _holding(rng: Random, factors: tuple[Fraction, ...]) -> Holding:
    dice = rng.random()
    if dice < 0.2:
        return _on_the_line(rng, rng.choice(factors))
    if dice < 0.25:
        return _worth_the_dust_limit(rng)
    return _leveraged(rng) if dice < 0.85 else _wild(rng)


def situations(seed: int, count: int, highest_mark_e6: int = U64_MAX) -> Iterator[Situation]:
    """So many positions, each with the marks within two units of every threshold that it has."""
    rng = Random(seed)
    for _ in range(count):
        at_risk_milli = rng.choice((1300, 1300, 1001, 10_000, rng.randint(1001, 10_000)))
        factors = (*LINES, Fraction(at_risk_milli, 1000))
        holding = _holding(rng, factors)
        edges = [line_usd(holding, factor) for factor in factors]
        edges.append(Fraction(DUST_USD * MICRO, holding.size_e6))
        near = [int(edge * MICRO) + unit for edge in edges for unit in NEAR]
        wild = [sized(rng) for _ in range(WILD_MARKS)]
        marks = tuple(mark for mark in dict.fromkeys(near + wild) if 0 < mark <= highest_mark_e6)
        yield Situation(holding, at_risk_milli, marks)
