"""Fills the empty groups with what a first snapshot brought, in steps of a few thousand positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.book.group import Group
from engine.book.leaf import ADDRESS_BYTES, LIMBO, LOADED_ROWS, ROW, THRESHOLD_MAX, UNKNOWN
from engine.book.shelves import Shelves
from engine.book.unknown import Unknowns
from engine.protocol.threshold_columns import thresholds_e6

BLOCK = np.dtype(f"V{ROW.itemsize}")
"""A row as plain bytes: copied field by field it takes numpy ten times as long."""

_IN_LIMBO = np.dtype([("row", BLOCK), ("unknown", UNKNOWN)])

STEP_ROWS = 8 * LOADED_ROWS
"""So many positions are handled between two yields; as a rule, a millisecond or two."""

_SORTED_AT_ONCE = 4 * STEP_ROWS
_MOST_PIVOTS = 4096


class Part(NamedTuple):
    """Some positions of one group: the hashes of their addresses, the addresses, rows of type BLOCK.

    In limbo a row is longer, see `in_limbo`.
    """

    hashes: NDArray[np.int64]
    keys: NDArray[np.void]
    rows: NDArray[np.void]

    def picked(self, rows: NDArray[np.int64] | slice) -> Part:
        """Some of them."""
        return Part(self.hashes[rows], self.keys[rows], self.rows[rows])


class Filling:
    """`count` positions on their way into empty shelves, which nothing else may change meanwhile."""

    def __init__(self, shelves: Shelves, unknowns: Unknowns, count: int, at_risk_milli: int) -> None:
        self._shelves = shelves
        self._unknowns = unknowns
        self._factors_milli = (1000, at_risk_milli)
        shelves.index.reserve(count)
        # What is hashed differently need not be compared; None when that is no longer kept up.
        self._hash_at: NDArray[np.int64] | None = np.zeros(
            shelves.memory.places_for(count, len(shelves.groups)), dtype=np.int64
        )

    def fill(self, group: Group, parts: Sequence[Part]) -> Iterator[None]:
        """Enter a group's positions in the order of their lines; of one address the first stays."""
        count = sum(len(part.keys) for part in parts)
        if count == 0:
            return
        row = parts[0].rows.dtype if parts else BLOCK
        whole = Part(np.empty(count, np.int64), np.empty(count, f"V{ADDRESS_BYTES}"), np.empty(count, row))
        lines_e6 = np.zeros((2, count), dtype=np.int64)
        yield from self._join(group, parts, whole, lines_e6)
        order, entered, ready = np.empty(count, np.int64), 0, 0
        for piece in in_order(lines_e6[0], np.arange(count)):
            if len(piece) == 0:
                yield
                continue
            order[ready : ready + len(piece)] = piece
            ready += len(piece)
            while ready - entered >= STEP_ROWS or entered < ready == count:
                self._enter(group, whole, lines_e6, order[entered : min(entered + STEP_ROWS, ready)])
                entered = min(entered + STEP_ROWS, ready)
                yield
        self._shelves.widen(group)

    def _join(
        self, group: Group, parts: Sequence[Part], whole: Part, lines_e6: NDArray[np.int64]
    ) -> Iterator[None]:
        """Bring the parts together, and find their lines."""
        done = at = first = 0
        for number, part in enumerate(parts, 1):
            at += len(part.keys)
            if at - done < STEP_ROWS and number < len(parts):
                continue
            if at > done:
                for column, pieces in zip(whole, zip(*parts[first:number], strict=True), strict=True):
                    np.concatenate(pieces, out=column[done:at])
                if group.number != LIMBO:
                    self._find_lines(group, whole.rows[done:at].view(ROW), lines_e6[:, done:at])
                yield
            done, first = at, number

    def _find_lines(self, group: Group, rows: NDArray[np.void], lines_e6: NDArray[np.int64]) -> None:
        # Side by side, for what is read many times over.
        size_e6, entry_price_e6, collateral_e6, leverage = (
            np.ascontiguousarray(rows[name])
            for name in ("size_e6", "entry_price_e6", "collateral_e6", "leverage")
        )
        for line, factor_milli in enumerate(self._factors_milli):
            lines_e6[line] = thresholds_e6(
                group.side,
                size_e6=size_e6,
                entry_price_e6=entry_price_e6,
                collateral_e6=collateral_e6,
                leverage=leverage,
                factor_milli=factor_milli,
                most=THRESHOLD_MAX,
            )

    def _enter(
        self, group: Group, whole: Part, lines_e6: NDArray[np.int64], picked: NDArray[np.int64]
    ) -> None:
        """Make leaves of some positions that all come behind those that the group has."""
        hashes, keys, rows = whole.picked(picked)
        unknown = None
        if group.number == LIMBO:
            rows, unknown = (rows.view(_IN_LIMBO)[name] for name in ("row", "unknown"))
            self._unknowns.count(unknown)
        lines = lines_e6[:, picked]
        places = np.empty(len(picked), dtype=np.int64)
        for first in range(0, len(picked), LOADED_ROWS):
            part = slice(first, first + LOADED_ROWS)
            leaf = group.append_sorted(keys[part], rows[part], lines[:, part])
            if unknown is not None:
                leaf.unknown[: leaf.count] = unknown[part]
            places[part] = leaf.place(0) + np.arange(leaf.count)
        shelves = self._shelves
        twice = shelves.index.put_many(hashes, keys, places, self._hash_at)
        if len(twice):
            self._hash_at = None  # closing their gaps moves others
        # From the last on, so that a row that fills a gap is one that was entered.
        for index in twice[::-1].tolist():
            leaf, row = shelves.memory.find(int(places[index]))
            self._unknowns.forget(leaf, row)
            group.remove(leaf, row)


def in_limbo(rows: NDArray[np.void], unknown: NDArray[np.void]) -> NDArray[np.void]:
    """Rows of type BLOCK as a part in limbo has them: each with what is kept of why it is there."""
    both = np.empty(len(rows), _IN_LIMBO)
    both["row"], both["unknown"] = rows, unknown
    return both.view(f"V{_IN_LIMBO.itemsize}")


def in_order(lines: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows by their lines, ascending and otherwise as they are, piece by piece.

    However many there are, no piece takes long; an empty one is a moment to give way.
    """
    if len(rows) <= _SORTED_AT_ONCE:
        yield rows[np.argsort(lines[rows], kind="stable")]
        return
    own = lines[rows]
    pivots = np.unique(own[:: max(_SORTED_AT_ONCE // 16, len(own) // _MOST_PIVOTS)])
    bucket = np.empty(len(rows), dtype=np.int16)
    for start in range(0, len(rows), 4 * STEP_ROWS):
        part = own[start : start + 4 * STEP_ROWS]
        # Even numbers between two pivots, odd ones on one of them: however many are equal, they are sorted.
        bucket[start : start + len(part)] = pivots.searchsorted(part, "left") + pivots.searchsorted(
            part, "right"
        )
        yield rows[:0]
    by_bucket = np.argsort(bucket, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(bucket, minlength=2 * len(pivots) + 1)))).tolist()
    yield rows[:0]
    for number, (start, end) in enumerate(pairwise(starts)):
        if start == end:
            continue
        piece = rows[by_bucket[start:end]]
        if number % 2:
            yield piece
        else:
            yield from in_order(lines, piece)
