"""Positions over the whole range of their integers, and the marks at which something about them changes.

Everything follows from a seed, so that a case that fails can be had again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from exact_formulas import DUST_USD, MICRO, Holding, line_usd

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


def situations(seed: int, count: int, highest_mark_e6: int = U64_MAX) -> Iterator[Situation]:
    """So many positions, each with the marks within two units of every threshold that it has."""
    rng = Random(seed)
    for _ in range(count):
        holding = _leveraged(rng) if rng.random() < 0.8 else _wild(rng)
        at_risk_milli = rng.choice((1300, 1300, 1001, 10_000, rng.randint(1001, 10_000)))
        edges = [line_usd(holding, factor) for factor in (*LINES, Fraction(at_risk_milli, 1000))]
        edges.append(Fraction(DUST_USD * MICRO, holding.size_e6))
        near = [int(edge * MICRO) + unit for edge in edges for unit in NEAR]
        wild = [sized(rng) for _ in range(WILD_MARKS)]
        marks = tuple(mark for mark in dict.fromkeys(near + wild) if 0 < mark <= highest_mark_e6)
        yield Situation(holding, at_risk_milli, marks)
