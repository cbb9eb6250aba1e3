"""One symbol and side of the book: exact integer thresholds in contiguous arrays, with a cached extreme.

A long is below a line when mark <= threshold, a short when mark >= threshold. While the mark has not reached
the extreme threshold nobody can have crossed, so a quiet tick is one comparison, however many positions
there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain import Side

Thresholds = NDArray[np.int64]

# A threshold that does not fit is clamped. Up to here the columns are exact; a mark beyond it (nine trillion
# USD) only offers more to the exact decision.
THRESHOLD_MAX = 2**63 - 1
_INITIAL = 64
_NOBODY = -1  # the book index in a freed row


class SideColumns:
    """Liquidation and at-risk thresholds by row; freed rows are reused and name nobody."""

    def __init__(self, side: Side) -> None:
        self.side = side
        # An empty row holds the threshold that no mark reaches: -1 for longs, the maximum for shorts.
        self._empty = -1 if side is Side.LONG else THRESHOLD_MAX
        self._liquidation: Thresholds = np.full(_INITIAL, self._empty, dtype=np.int64)
        self._at_risk: Thresholds = np.full(_INITIAL, self._empty, dtype=np.int64)
        self._position = np.zeros(_INITIAL, dtype=np.int64)
        self._rows = 0
        self._free: list[int] = []
        self._extreme = self._empty
        self._extreme_is_exact = True

    def __len__(self) -> int:
        return self._rows - len(self._free)

    def insert(self, position: int, liquidation_e6: int, at_risk_e6: int) -> int:
        """Store the thresholds of the position with this index in the book; returns its row here."""
        if self._free:
            row = self._free.pop()
        else:
            row = self._rows
            self._rows += 1
            if row == len(self._liquidation):
                self._grow()
        self._position[row] = position
        self._store(row, liquidation_e6, at_risk_e6)
        return row

    def update(self, row: int, liquidation_e6: int, at_risk_e6: int) -> None:
        """Replace the thresholds of a row."""
        self._loosen(row)
        self._store(row, liquidation_e6, at_risk_e6)

    def remove(self, row: int) -> None:
        """Free a row for reuse."""
        self._loosen(row)
        self._liquidation[row] = self._at_risk[row] = self._empty
        self._position[row] = _NOBODY
        self._free.append(row)

    def crossed(self, mark_e6: int) -> list[int]:
        """Book indexes of the positions that are liquidatable at this mark, in no order."""
        if self.side is Side.LONG:
            if min(mark_e6, THRESHOLD_MAX) > self._extreme:
                return []
        elif mark_e6 < self._extreme:
            return []
        hits = self._below(self._liquidation, mark_e6)
        if not self._extreme_is_exact:
            self._tighten()
        positions: list[int] = hits.tolist()
        return positions

    def at_risk(self, mark_e6: int) -> NDArray[np.int64]:
        """Book indexes of the positions below the at-risk line, the liquidatable ones among them."""
        return self._below(self._at_risk, mark_e6)

    def _below(self, column: Thresholds, mark_e6: int) -> NDArray[np.int64]:
        """Book indexes of the rows whose line in this column the mark has reached.

        A mark beyond the clamp is taken as the clamp, which offers too many rather than too few.
        """
        reached = min(mark_e6, THRESHOLD_MAX)
        lines = column[: self._rows]
        found: NDArray[np.int64] = self._position[
            np.flatnonzero(lines >= reached if self.side is Side.LONG else lines <= reached)
        ]
        named: NDArray[np.int64] = found[found != _NOBODY]
        return named

    def _store(self, row: int, liquidation_e6: int, at_risk_e6: int) -> None:
        threshold = min(liquidation_e6, THRESHOLD_MAX)
        self._liquidation[row] = threshold
        self._at_risk[row] = min(at_risk_e6, THRESHOLD_MAX)
        if self.side is Side.LONG:
            self._extreme = max(self._extreme, threshold)
        else:
            self._extreme = min(self._extreme, threshold)

    def _loosen(self, row: int) -> None:
        """Before a row changes: if it holds the extreme, the extreme becomes a bound and no longer exact."""
        if self._liquidation[row] == self._extreme:
            self._extreme_is_exact = False

    def _tighten(self) -> None:
        """Recompute the extreme; only when a tick has reached it and paid for a scan anyway."""
        column = self._liquidation[: self._rows]
        self._extreme = int(column.max() if self.side is Side.LONG else column.min())
        self._extreme_is_exact = True

    def _grow(self) -> None:
        spare = np.full(len(self._liquidation), self._empty, dtype=np.int64)
        self._liquidation = np.concatenate((self._liquidation, spare))
        self._at_risk = np.concatenate((self._at_risk, spare))
        self._position = np.concatenate((self._position, np.zeros_like(spare)))
