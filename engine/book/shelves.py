"""The shelves: every group of the book, ordered by symbol and side, and the index over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.book.flank import Flank
from engine.book.group import Group, Picked
from engine.book.index import AddressIndex
from engine.book.leaf import LIMBO, THRESHOLD_MAX, Leaf
from engine.book.memory import LeafMemory
from engine.domain import Side
from engine.protocol.margin import MAINTENANCE_TIERS

Row = tuple[object, ...]
_TIERS = tuple(bps for _, bps in MAINTENANCE_TIERS)
_NO_SHELF = np.full((len(Side), len(_TIERS)), LIMBO)


class Shelves:
    """Where each position is. Prices and lines are in 1e-6 USD; lines are clamped at THRESHOLD_MAX."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.memory = LeafMemory()
        self.index = AddressIndex(self.memory)
        self._groups: list[Group] = []
        self._by_terms: dict[tuple[str, Side, int], Group] = {}
        self._flanks: dict[str, tuple[Flank, Flank]] = {}
        self._numbers: dict[str, NDArray[np.int64]] = {}
        self._add_group("", Side.LONG, 0)
        for symbol in symbols:
            long, short = (
                Flank(side, [self._add_group(symbol, side, bps) for bps in _TIERS]) for side in Side
            )
            self._flanks[symbol] = long, short
            self._numbers[symbol] = np.array(
                [[each.number for each in flank.groups] for flank in (long, short)]
            )

    def __len__(self) -> int:
        return len(self.index)

    # --- where a position is ---

    @property
    def limbo(self) -> Group:
        """The group of those that cannot be decided."""
        return self._groups[LIMBO]

    def group(self, symbol: str, side: Side, maintenance_bps: int) -> Group | None:
        """The group of some terms, None when the symbol has no shelf."""
        return self._by_terms.get((symbol, side, maintenance_bps))

    @property
    def groups(self) -> Sequence[Group]:
        """Every group, by its number."""
        return self._groups

    def flanks(self, symbol: str) -> Sequence[Flank]:
        """A symbol's longs and shorts; nothing for a symbol that has no shelf."""
        return self._flanks.get(symbol, ())

    def group_numbers(self, symbol: str) -> NDArray[np.int64]:
        """The numbers of a symbol's groups by side and tier; LIMBO for a symbol that has no shelf."""
        return self._numbers.get(symbol, _NO_SHELF)

    def group_of(self, leaf: Leaf) -> Group:
        """The group to which a leaf belongs."""
        return self._groups[leaf.group]

    def find(self, address: bytes) -> tuple[Leaf, int] | None:
        """The leaf and row of a position, None when it is not held."""
        place = self.index.get(address)
        return None if place is None else self.memory.find(place)

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf, group by group."""
        for group in self._groups:
            yield from group

    # --- who comes and goes ---

    def put(
        self,
        address: bytes,
        found: tuple[Leaf, int] | None,
        group: Group,
        row: Row,
        *,
        liquidation_e6: int,
        at_risk_e6: int,
    ) -> tuple[Leaf, int]:
        """Enter a position, or move it from where it was found to where it belongs now; returns where."""
        liquidation_e6, at_risk_e6 = min(liquidation_e6, THRESHOLD_MAX), min(at_risk_e6, THRESHOLD_MAX)
        if found is not None:
            leaf, place = found
            # Whoever has no lines is as well off in one leaf as in another.
            stays = leaf.group == group.number and (
                group.number == LIMBO or group.leaf_for(liquidation_e6) is leaf
            )
            if stays:
                group.write(leaf, place, row, liquidation_e6, at_risk_e6)
                self._widen(group, liquidation_e6)
                return found
            self.take_out(address, leaf, place)
        leaf, place = group.insert(address, row, liquidation_e6, at_risk_e6)
        self.index.put(address, leaf.place(place))
        self._widen(group, liquidation_e6)
        return leaf, place

    def take_out(self, address: bytes, leaf: Leaf, row: int) -> None:
        """Remove a position from its place."""
        self.index.drop(address, leaf.place(row))
        self.group_of(leaf).remove(leaf, row)

    def widen(self, group: Group) -> None:
        """A group was filled."""
        self._widen(group, group.extreme)

    def note_written(
        self, leaves: Iterable[int], numbers: NDArray[np.int64], lines_e6: NDArray[np.int64]
    ) -> None:
        """Rows of these leaves were overwritten; `numbers` and `lines_e6` are the rows' groups and lines."""
        for leaf_id in leaves:
            self.memory.leaf(leaf_id).touch()
        if len(numbers) == 0:
            return
        order = np.argsort(numbers, kind="stable")
        ordered, lines = numbers[order], lines_e6[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        lowest, highest = np.minimum.reduceat(lines, starts), np.maximum.reduceat(lines, starts)
        for number, low, high in zip(
            ordered[starts].tolist(), lowest.tolist(), highest.tolist(), strict=True
        ):
            group = self._groups[number]
            group.note_change()
            self._widen(group, high if group.side is Side.LONG else low)

    # --- who crossed ---

    def crossed(self, symbol: str, mark_e6: int) -> list[Picked]:
        """The rows of a symbol that are liquidatable at a mark. One comparison a side when there are none.

        A mark beyond the clamp is taken as the clamp, which offers too many rather than too few.
        """
        mark = min(mark_e6, THRESHOLD_MAX)
        return [
            picked
            for flank in self.flanks(symbol)
            if flank.is_reached(mark)
            for picked in flank.crossed(mark)
        ]

    # --- inside ---

    def _widen(self, group: Group, line_e6: int | None) -> None:
        if group.number != LIMBO and line_e6 is not None:
            self._flanks[group.symbol][group.side is Side.SHORT].widen(line_e6)

    def _add_group(self, symbol: str, side: Side, maintenance_bps: int) -> Group:
        group = Group(
            len(self._groups),
            symbol,
            side,
            maintenance_bps=maintenance_bps,
            memory=self.memory,
            moved=self.index.move,
        )
        self._groups.append(group)
        self._by_terms[symbol, side, maintenance_bps] = group
        return group
