"""A group: the positions of one symbol, side and maintenance tier, ordered leaf by leaf by liquidation price.

Within a group everything that matters runs in one order. With X the price at which a position's equity is
zero, its liquidation price is X / (1 -+ m), its at-risk line X / (1 -+ 1.3 m) and its health at a mark p is
(p - X) / (p m), resp. (X - p) / (p m): all of them monotone in X. So one ordering answers who crossed, how
many stand in which band, who is the riskiest, and what a fall of so many percent would cost.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from engine.book.leaf import LEAF_ROWS, THRESHOLD_MAX, Leaf, Line
from engine.book.memory import LeafMemory
from engine.domain import Side

Picked = tuple[Leaf, NDArray[np.int64]]
"""Some rows of a leaf."""

_LOWEST = -1
_BEYOND = THRESHOLD_MAX + 1
_SPARSE_ROWS = LEAF_ROWS // 8
_FULL_AFTER_MERGE = LEAF_ROWS * 3 // 4


class Group:
    """Leaves in order; `bounds[i]` is the lowest liquidation price that leaf i may hold.

    `moved(address, place, to)` is called for every position that another one's coming or going has moved.
    """

    def __init__(
        self,
        number: int,
        symbol: str,
        side: Side,
        *,
        maintenance_bps: int,
        memory: LeafMemory,
        moved: Callable[[bytes, int, int], None],
    ) -> None:
        self.number = number
        self.symbol = symbol
        self.side = side
        self.maintenance_bps = maintenance_bps
        self._memory = memory
        self._moved = moved
        self._bounds: list[int] = [_LOWEST]
        self._leaves: list[Leaf] = [memory.new(number, _LOWEST, _BEYOND)]
        self.changed = True  # since its flank last looked
        self.version = 0  # grows with every change
        self._extreme: tuple[int, int | None] = (-1, None)  # of a version

    def __len__(self) -> int:
        return sum(leaf.count for leaf in self._leaves)

    def __iter__(self) -> Iterator[Leaf]:
        return iter(self._leaves)

    # --- who comes and goes ---

    def leaf_for(self, line: int) -> Leaf:
        """The leaf in which a liquidation price belongs."""
        return self._leaves[bisect_right(self._bounds, line) - 1]

    def insert(
        self, address: bytes, row: tuple[object, ...], liquidation: int, at_risk: int
    ) -> tuple[Leaf, int]:
        """Add a position; returns where it is now."""
        leaf = self.leaf_for(liquidation)
        if leaf.count == LEAF_ROWS:
            self._split(bisect_right(self._bounds, liquidation) - 1)
            leaf = self.leaf_for(liquidation)
        place = leaf.count
        leaf.keys[place] = address
        leaf.count += 1
        self.write(leaf, place, row, liquidation, at_risk)
        return leaf, place

    def write(self, leaf: Leaf, place: int, row: tuple[object, ...], liquidation: int, at_risk: int) -> None:
        """Overwrite a position in its place; its liquidation price must belong to this leaf."""
        leaf.rows[place] = row
        leaf.liquidation[place] = liquidation
        leaf.at_risk[place] = at_risk
        self.touch(leaf)

    def remove(self, leaf: Leaf, place: int) -> None:
        """Take a position out; the last row of its leaf takes its place."""
        last = leaf.count - 1
        leaf.count = last
        if place != last:
            leaf.copy_row(leaf, last, place)
            self._moved(leaf.address(place), leaf.place(last), leaf.place(place))
        self.touch(leaf)
        if last < _SPARSE_ROWS and len(self._leaves) > 1:
            self._merge(leaf)

    def touch(self, leaf: Leaf) -> None:
        """Rows of a leaf were overwritten in their places."""
        leaf.touch()
        self.note_change()

    def note_change(self) -> None:
        """Something of its positions is different now."""
        self.changed = True
        self.version += 1

    def append_sorted(self, keys: NDArray[np.void], rows: NDArray[np.void], lines: NDArray[np.int64]) -> Leaf:
        """Make a leaf of rows, as plain bytes, that all come behind those that are here."""
        if self._leaves[-1].count:
            first = int(lines[0].min())
            self._memory.high[self._leaves[-1].id] = first
            self._leaves.append(self._memory.new(self.number, first, _BEYOND))
            self._bounds.append(first)
        leaf = self._leaves[-1]
        leaf.count = len(keys)
        leaf.keys[: leaf.count] = keys
        leaf.rows.view(rows.dtype)[: leaf.count] = rows
        leaf.liquidation[: leaf.count], leaf.at_risk[: leaf.count] = lines
        self.touch(leaf)
        return leaf

    # --- who stands where ---

    @property
    def extreme(self) -> int | None:
        """The liquidation price that a move of the mark reaches first, None without positions."""
        version, extreme = self._extreme
        if version != self.version:
            extreme = self._find_extreme()
            self._extreme = self.version, extreme
        return extreme

    def is_reached(self, mark: int) -> bool:
        """Whether anybody is liquidatable at this mark."""
        extreme = self.extreme
        if extreme is None:
            return False
        return mark <= extreme if self.side is Side.LONG else mark >= extreme

    def _find_extreme(self) -> int | None:
        is_long = self.side is Side.LONG
        for leaf in reversed(self._leaves) if is_long else self._leaves:
            if leaf.count:  # one whose neighbour is too full to take it in may have lost all of its rows
                lines = leaf.liquidation[: leaf.count]
                return int(lines.max() if is_long else lines.min())
        return None

    def crossed(self, mark: int) -> Iterator[Picked]:
        """The rows that are liquidatable at this mark."""
        leaves, bounds = self._leaves, self._bounds
        if self.side is Side.LONG:
            edge = bisect_left(bounds, mark) - 1
            whole, partial = leaves[edge + 1 :], leaves[max(edge, 0)] if edge >= 0 else None
        else:
            edge = bisect_right(bounds, mark) - 1
            whole, partial = leaves[: max(edge, 0)], leaves[edge]
        for leaf in whole:
            if leaf.count:
                yield leaf, np.arange(leaf.count)
        if partial is not None:
            rows = partial.reached(Line.LIQUIDATION, mark, self.side)
            if len(rows):
                yield partial, rows

    def riskiest(self, mark: int, limit: int) -> Iterator[Picked]:
        """Rows below the at-risk line: at least the `limit` of lowest health, or all that there are."""
        ordered = reversed(self._leaves) if self.side is Side.LONG else iter(self._leaves)
        wanted = limit
        for leaf in ordered:
            rows = leaf.reached(Line.AT_RISK, mark, self.side)
            if len(rows) == 0:
                return
            yield leaf, rows
            wanted -= len(rows)
            if wanted <= 0:
                return

    # --- inside ---

    def _split(self, index: int) -> None:
        """Give the upper half of a full leaf to a new one behind it."""
        leaf = self._leaves[index]
        lines = leaf.liquidation[: leaf.count]
        middle = int(np.partition(lines, LEAF_ROWS // 2)[LEAF_ROWS // 2])
        if middle == int(lines.min()):
            above = lines[lines > middle]
            middle = int(above.min()) if len(above) else middle
        upper = lines >= middle
        if upper.all():  # one and the same line: any half will do
            upper = np.arange(leaf.count) >= LEAF_ROWS // 2
        old, new = leaf, self._memory.new(self.number, middle, int(self._memory.high[leaf.id]))
        self._memory.high[old.id] = middle
        going, staying = np.flatnonzero(upper), np.flatnonzero(~upper)
        new.take(old, going)
        self._tell_moved(new, 0, old, going)
        old.keep(staying)
        # In ascending order, so that nobody's new place is still somebody else's old one.
        self._tell_moved(old, 0, old, staying)
        self._leaves.insert(index + 1, new)
        self._bounds.insert(index + 1, middle)
        self.changed = True

    def _merge(self, leaf: Leaf) -> None:
        """Move a sparse leaf's rows into its neighbour below, if they fit, and give the leaf back."""
        index = self._leaves.index(leaf)
        if index == 0:
            index = 1
        into, gone = self._leaves[index - 1], self._leaves[index]
        if into.count + gone.count > _FULL_AFTER_MERGE:
            return
        start = into.count
        every = np.arange(gone.count)
        into.take(gone, every)
        self._memory.high[into.id] = self._memory.high[gone.id]
        self._tell_moved(into, start, gone, every)
        del self._leaves[index], self._bounds[index]
        self.changed = True
        self._memory.release(gone)

    def _tell_moved(self, leaf: Leaf, start: int, source: Leaf, picked: NDArray[np.int64]) -> None:
        for row, before in enumerate(picked.tolist(), start):
            if leaf is not source or row != before:
                self._moved(leaf.address(row), source.place(before), leaf.place(row))
