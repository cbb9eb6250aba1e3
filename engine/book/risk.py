"""The risk figures: how many positions stand where, how far the next ones are, and what a fall would cost.

All of it comes from the groups' profiles, which change with the positions and not with the prices: a figure
costs a few leaves to look at, however many positions there are. Counts are exact, amounts are for display.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from solders.pubkey import Pubkey

from engine.book.book import Book
from engine.book.flank import Flank
from engine.book.group import Group
from engine.book.leaf import Leaf, Line
from engine.domain import Price, Side, Verdict

LADDER_BPS = (100, 200, 500, 1_000, 2_000)
"""The moves against which a symbol is held, in basis points: 1, 2, 5, 10 and 20 percent."""


@dataclass(frozen=True, slots=True)
class BandCounts:
    """How many positions stand where at the current prices, and their value in 1e-6 USD, for display."""

    monitored: int
    healthy: int
    at_risk: int
    liquidatable: int
    unknown: int
    healthy_value_e6: int
    at_risk_value_e6: int
    liquidatable_value_e6: int


@dataclass(frozen=True, slots=True)
class Rung:
    """What a move of the mark by so many basis points (negative: a fall) would bring.

    A fall is about the longs, a rise about the shorts. `count` and `value_e6` are those that become
    liquidatable between here and there, valued there; `bad_debt_e6` is what all of that side would owe beyond
    their collateral if nothing were liquidated on the way.
    """

    move_bps: int
    price_e6: int
    count: int
    value_e6: int
    bad_debt_e6: int


@dataclass(frozen=True, slots=True)
class SymbolRisk:
    """One symbol's bands and ladder; `unknown` while its price may not be acted on.

    `next_fall_e6` and `next_rise_e6` are the marks at which the next long, resp. short, is liquidatable.
    """

    symbol: str
    bands: BandCounts
    next_fall_e6: int | None
    next_rise_e6: int | None
    ladder: Sequence[Rung]


def band_counts(book: Book, prices: Iterable[Price]) -> BandCounts:
    """All symbols together, counted now. Every position whose price may not be acted on is unknown."""
    counts, values = np.zeros(3, dtype=np.int64), np.zeros(3)
    for price in prices:
        if price.verdict is Verdict.OK:
            of_symbol, worth = _bands(book.shelves.flanks(price.symbol), price.price_e6)
            counts += of_symbol
            values += worth
    return _counts_of(len(book), counts, values)


def symbol_risk(book: Book, price: Price) -> SymbolRisk:
    """One symbol's figures at its price."""
    flanks = book.shelves.flanks(price.symbol)
    held = sum(len(flank) for flank in flanks)
    if price.verdict is not Verdict.OK or not flanks:
        return SymbolRisk(price.symbol, _counts_of(held, np.zeros(3, np.int64), np.zeros(3)), None, None, ())
    long, short = flanks
    return SymbolRisk(
        price.symbol,
        _counts_of(held, *_bands(flanks, price.price_e6)),
        long.next_line_e6(price.price_e6),
        short.next_line_e6(price.price_e6),
        [*_ladder(long, price.price_e6), *_ladder(short, price.price_e6)],
    )


def riskiest(book: Book, prices: Iterable[Price], limit: int) -> list[Pubkey]:
    """Positions below the at-risk line at these prices, lowest health first, at most `limit`.

    The order is for display and comes from floats; each position's own figures are computed exactly.
    """
    parts: list[tuple[NDArray[np.float64], Leaf, NDArray[np.int64]]] = []
    for price in prices:
        if price.verdict is not Verdict.OK:
            continue
        for flank in book.shelves.flanks(price.symbol):
            for group, (leaf, rows) in flank.riskiest(price.price_e6, limit):
                health = health_factors(leaf, rows, group, price.price_e6)
                worst = np.argsort(health)[:limit]
                parts.append((health[worst], leaf, rows[worst]))
    if not parts:
        return []
    every = np.concatenate([health for health, _, _ in parts])
    highest = np.partition(every, limit - 1)[limit - 1] if len(every) > limit else every.max()
    found: list[tuple[float, bytes]] = []
    for health, leaf, rows in parts:
        picked = health <= highest
        addresses = (leaf.address(row) for row in rows[picked].tolist())
        found += zip(health[picked].tolist(), addresses, strict=True)
    found.sort()
    return [Pubkey.from_bytes(address) for _, address in found[:limit]]


def _bands(flanks: Iterable[Flank], mark_e6: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(healthy, at risk, liquidatable): positions and their value in 1e-6 USD."""
    counts, sizes = np.zeros(3, dtype=np.int64), np.zeros(3)
    for flank in flanks:
        every, below = flank.total(), flank.reached(Line.AT_RISK, [mark_e6])
        crossed = flank.reached(Line.LIQUIDATION, [mark_e6])
        counts += _apart(every.count[0], below.count[0], crossed.count[0])
        sizes += _apart(every.size_e6[0], below.size_e6[0], crossed.size_e6[0])
    return counts, sizes * (mark_e6 / 1e6)


Figure = TypeVar("Figure", np.int64, np.float64)


def _apart(every: Figure, below: Figure, crossed: Figure) -> tuple[Figure, Figure, Figure]:
    return every - below, below - crossed, crossed


def _counts_of(monitored: int, counts: NDArray[np.int64], values: NDArray[np.float64]) -> BandCounts:
    healthy, at_risk, liquidatable = counts.tolist()
    healthy_value, at_risk_value, liquidatable_value = (max(0, int(value)) for value in values.tolist())
    return BandCounts(
        monitored=monitored,
        healthy=healthy,
        at_risk=at_risk,
        liquidatable=liquidatable,
        unknown=monitored - healthy - at_risk - liquidatable,
        healthy_value_e6=healthy_value,
        at_risk_value_e6=at_risk_value,
        liquidatable_value_e6=liquidatable_value,
    )


def _ladder(flank: Flank, mark_e6: int) -> Iterator[Rung]:
    sign = -1 if flank.side is Side.LONG else 1
    moves = [sign * bps for bps in LADDER_BPS]
    levels = [mark_e6, *(mark_e6 * (10_000 + move) // 10_000 for move in moves)]
    crossed, broken = flank.reached(Line.LIQUIDATION, levels), flank.reached(Line.BREAK_EVEN, levels)
    for number, move_bps in enumerate(moves, 1):
        level = levels[number]
        value_e12 = (crossed.size_e6[number] - crossed.size_e6[0]) * level
        # Those under water owe S e -+ C beyond what closing them at this level brings or costs.
        debt_e12 = -sign * (broken.owed_e12[number] - broken.size_e6[number] * level)
        yield Rung(
            move_bps=move_bps,
            price_e6=level,
            count=int(crossed.count[number] - crossed.count[0]),
            value_e6=max(0, int(value_e12 / 1e6)),
            bad_debt_e6=max(0, int(debt_e12 / 1e6)),
        )


def health_factors(leaf: Leaf, rows: NDArray[np.int64], group: Group, mark_e6: int) -> NDArray[np.float64]:
    """Health factors of some rows, for display: equity over value, over the maintenance ratio."""
    break_even = leaf.lines(Line.BREAK_EVEN, group.side)[rows]
    room = mark_e6 - break_even if group.side is Side.LONG else break_even - mark_e6
    health: NDArray[np.float64] = room * 1e4 / (mark_e6 * group.maintenance_bps)
    return health
