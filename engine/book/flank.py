"""A flank: all longs or all shorts of one symbol, in five groups, and how far a mark has come among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.book.group import Group, Picked
from engine.book.leaf import THRESHOLD_MAX, Leaf, Line
from engine.domain import Side

_NO_LONG = -1
_NO_SHORT = THRESHOLD_MAX + 1


@dataclass(frozen=True, slots=True)
class Reached:
    """Over the positions whose line a level has reached, one entry a level; see `leaf.Profile`."""

    count: NDArray[np.int64]
    size_e6: NDArray[np.float64]
    owed_e12: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Profiles:
    """The profiles of all leaves: row 0 counts, row 1 sizes, row 2 what is owed; low and high by line."""

    leaves: list[Leaf]
    sums: NDArray[np.float64]
    low: tuple[NDArray[np.int64] | NDArray[np.float64], ...]
    high: tuple[NDArray[np.int64] | NDArray[np.float64], ...]


class Flank:
    """The positions that one direction of the mark puts at risk.

    `front_e6` is the liquidation price that the mark would reach first. It is a bound: news only widen it,
    and a tick that has reached it makes it exact again.
    """

    def __init__(self, side: Side, groups: Sequence[Group]) -> None:
        self.side = side
        self.groups = groups
        self.front_e6 = _NO_LONG if side is Side.LONG else _NO_SHORT
        self._profiles: _Profiles | None = None

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

    @property
    def version(self) -> int:
        """Grows with every change of its positions."""
        return sum(group.version for group in self.groups)

    def widen(self, line_e6: int) -> None:
        """A position with this liquidation price is there now."""
        if self.side is Side.LONG:
            self.front_e6 = max(self.front_e6, line_e6)
        else:
            self.front_e6 = min(self.front_e6, line_e6)

    def is_reached(self, mark: int) -> bool:
        """Whether anybody may be liquidatable at this mark."""
        return mark <= self.front_e6 if self.side is Side.LONG else mark >= self.front_e6

    def crossed(self, mark: int) -> Iterator[Picked]:
        """The rows that are liquidatable at this mark."""
        for group in self.groups:
            if group.is_reached(mark):
                yield from group.crossed(mark)
        # The tick has paid for a look anyway.
        extremes = [extreme for group in self.groups if (extreme := group.extreme) is not None]
        if self.side is Side.LONG:
            self.front_e6 = max(extremes, default=_NO_LONG)
        else:
            self.front_e6 = min(extremes, default=_NO_SHORT)

    def reached(self, line: Line, levels: Sequence[int]) -> Reached:
        """For each level how many positions' line it has reached, and what they are worth.

        Whole leaves are counted by their profiles; only those that a level cuts through are looked into.
        """
        profiles = self._current_profiles()
        if line is Line.BREAK_EVEN:
            marks: NDArray[np.float64] | NDArray[np.int64] = np.array(levels, dtype=np.float64)
        else:  # lines are clamped, and a price that is a u64 may be beyond them
            marks = np.array([min(level, THRESHOLD_MAX) for level in levels], dtype=np.int64)
        low, high = profiles.low[line][:, None], profiles.high[line][:, None]
        if self.side is Side.LONG:
            every, some = low >= marks, high >= marks
        else:
            every, some = high <= marks, low <= marks
        sums = profiles.sums @ every
        cut = some & ~every
        for index in np.flatnonzero(cut.any(axis=1)).tolist():
            leaf, at = profiles.leaves[index], np.flatnonzero(cut[index])
            lines = leaf.lines(line, self.side)[:, None]
            rows = lines >= marks[at] if self.side is Side.LONG else lines <= marks[at]
            sums[:, at] += np.stack((np.ones(leaf.count), *leaf.amounts(self.side))) @ rows
        return Reached(np.rint(sums[0]).astype(np.int64), sums[1], sums[2])

    def total(self) -> Reached:
        """The same over all positions, as one level."""
        sums = self._current_profiles().sums.sum(axis=1)
        return Reached(np.rint(sums[:1]).astype(np.int64), sums[1:2], sums[2:])

    def next_line_e6(self, mark: int) -> int | None:
        """The liquidation price that a move against these positions reaches next, None without one."""
        profiles = self._current_profiles()
        low, high = profiles.low[Line.LIQUIDATION], profiles.high[Line.LIQUIDATION]
        filled = profiles.sums[0] > 0
        ahead = filled & (low < mark if self.side is Side.LONG else high > mark)
        if not ahead.any():
            return None
        nearest = []
        for index in np.flatnonzero(ahead).tolist():
            if self.side is Side.LONG and high[index] < mark:
                nearest.append(int(high[index]))
            elif self.side is Side.SHORT and low[index] > mark:
                nearest.append(int(low[index]))
            else:
                lines = profiles.leaves[index].lines(Line.LIQUIDATION, self.side)
                nearest.append(
                    int(lines[lines < mark].max() if self.side is Side.LONG else lines[lines > mark].min())
                )
        return max(nearest) if self.side is Side.LONG else min(nearest)

    def riskiest(self, mark: int, limit: int) -> Iterator[tuple[Group, Picked]]:
        """Rows below the at-risk line, group by group: at least the `limit` of lowest health of each."""
        for group in self.groups:
            for picked in group.riskiest(mark, limit):
                yield group, picked

    def _current_profiles(self) -> _Profiles:
        """Made anew after a change: of changed leaves from their rows, of the others from what is known."""
        if self._profiles is None or any(group.changed for group in self.groups):
            leaves = [leaf for group in self.groups for leaf in group]
            each = [leaf.profile(self.side) for leaf in leaves]
            self._profiles = _Profiles(
                leaves,
                np.array([[p.count for p in each], [p.size_e6 for p in each], [p.owed_e12 for p in each]]),
                tuple(np.array([p.low[line] for p in each]) for line in Line),
                tuple(np.array([p.high[line] for p in each]) for line in Line),
            )
            for group in self.groups:
                group.changed = False
        return self._profiles
