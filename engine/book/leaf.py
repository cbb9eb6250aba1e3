"""A leaf: up to 512 positions of one symbol, side and maintenance tier, neighbours in liquidation price.

Rows are dense and in no order. Everything is in columns, of those that cannot be decided too; a position has
no object of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine.domain import Side

LEAF_ROWS = 512
LOADED_ROWS = LEAF_ROWS * 63 // 64
"""How full a leaf is made at once: nearly, since most positions do not change between two loads."""

THRESHOLD_MAX = 2**63 - 1
"""A threshold that does not fit is clamped. Up to here the columns are exact; a mark beyond it (nine trillion
USD) only offers more to the exact decision."""

ADDRESS_BYTES = 32

ROW = np.dtype(
    [
        ("owner", "V32"),
        ("size_e6", "u8"),
        ("collateral_e6", "u8"),
        ("entry_price_e6", "u8"),
        ("maintenance_margin_e6", "u8"),
        ("created_at_s", "i8"),
        ("leverage", "u2"),
        ("generation", "u1"),
        ("epoch", "u1"),
        ("slot", "u8"),
    ]
)
"""What is kept of a position beside its address and lines; `epoch` is the snapshot that last had it."""

CONTENT_BYTES = ROW.fields["epoch"][1] if ROW.fields else 0
"""So many bytes at the start of a row are what its account says; epoch and slot say when it was read."""

UNKNOWN = np.dtype([("symbol", "V32"), ("symbol_bytes", "u1"), ("is_short", "u1"), ("reason", "u2")])
"""What is kept beside that of a position in limbo: what its group would tell of it, and why it has none."""

LIMBO = 0
"""The number of the group whose positions cannot be decided: they have no lines."""

Lines = NDArray[np.int64]
Rows = NDArray[np.void]


class Line(IntEnum):
    """The three prices of a position that a mark may reach."""

    LIQUIDATION = 0
    AT_RISK = 1
    BREAK_EVEN = 2


@dataclass(frozen=True, slots=True)
class Profile:
    """A leaf as a whole: sums over its rows, and by line the lowest and the highest of them.

    With S size, e entry and C collateral, `owed_e12` adds up S e - C 1e6 over longs, S e + C 1e6 over shorts:
    what selling S has to bring, or what may be spent on buying it back, before the collateral is gone.
    Amounts are floats: they are for display.
    """

    count: int
    size_e6: float
    owed_e12: float
    low: tuple[int, int, float]
    high: tuple[int, int, float]


_EMPTY = Profile(0, 0.0, 0.0, (0, 0, 0.0), (0, 0, 0.0))


class Leaf:
    """The rows [0, count) of one block of memory, and what is known of them together."""

    __slots__ = (
        "_profile",
        "addresses",
        "at_risk",
        "count",
        "group",
        "id",
        "keys",
        "liquidation",
        "rows",
        "unknown",
    )

    def __init__(
        self,
        leaf_id: int,
        keys: NDArray[np.void],
        addresses: memoryview,
        rows: Rows,
        lines: NDArray[np.int64],
        *,
        unknown: Rows,
    ) -> None:
        self.id = leaf_id
        self.group = 0  # the number of the group that it belongs to
        self.count = 0
        self.keys = keys
        self.rows = rows
        self.liquidation: Lines = lines[0]
        self.at_risk: Lines = lines[1]
        self.unknown = unknown  # only written to, and so only in memory, where the group is limbo
        self.addresses = addresses  # the keys, byte by byte
        self._profile: Profile | None = _EMPTY

    def touch(self) -> None:
        """A row changed: the profile has to be made anew."""
        self._profile = None

    def profile(self, side: Side) -> Profile:
        """The leaf as a whole."""
        if self._profile is None:
            self._profile = self._make_profile(side)
        return self._profile

    def lines(self, line: Line, side: Side) -> NDArray[np.int64] | NDArray[np.float64]:
        """One of the three prices of every row; the mark at which equity is zero is a float."""
        if line is Line.BREAK_EVEN:
            size_e6, owed_e12 = self.amounts(side)
            return owed_e12 / size_e6
        return (self.liquidation if line is Line.LIQUIDATION else self.at_risk)[: self.count]

    def reached(self, line: Line, mark: int, side: Side) -> NDArray[np.int64]:
        """The rows whose line a mark has reached."""
        lines = self.lines(line, side)
        return (lines >= mark if side is Side.LONG else lines <= mark).nonzero()[0]

    def amounts(self, side: Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What every row's size is and what it owes, see `Profile`."""
        rows = self.rows[: self.count]
        size_e6 = rows["size_e6"].astype(np.float64)
        notional = size_e6 * rows["entry_price_e6"]
        collateral = rows["collateral_e6"] * 1e6
        return size_e6, notional - collateral if side is Side.LONG else notional + collateral

    def _make_profile(self, side: Side) -> Profile:
        if self.count == 0:
            return _EMPTY
        size_e6, owed_e12 = self.amounts(side)
        break_even = owed_e12 / size_e6
        liquidation, at_risk = self.liquidation[: self.count], self.at_risk[: self.count]
        return Profile(
            self.count,
            float(size_e6.sum()),
            float(owed_e12.sum()),
            (int(liquidation.min()), int(at_risk.min()), float(break_even.min())),
            (int(liquidation.max()), int(at_risk.max()), float(break_even.max())),
        )

    def place(self, row: int) -> int:
        """The number of a row among all leaves' rows."""
        return self.id * LEAF_ROWS + row

    def address(self, row: int) -> bytes:
        """The address in a row."""
        start = row * ADDRESS_BYTES
        return self.addresses[start : start + ADDRESS_BYTES].tobytes()

    def content(self, row: int) -> tuple[Any, ...]:
        """What is kept in a row, field by field; see `ROW`."""
        return cast(tuple[Any, ...], self.rows.item(row))

    def holds(self, row: int, address: bytes) -> bool:
        """Whether a row is this position's."""
        start = row * ADDRESS_BYTES
        return self.addresses[start : start + ADDRESS_BYTES] == address

    def copy_row(self, source: Leaf, source_row: int, row: int) -> None:
        """Overwrite a row with one of this or another leaf."""
        self.keys[row] = source.keys[source_row]
        self.rows[row] = source.rows[source_row]
        self.liquidation[row] = source.liquidation[source_row]
        self.at_risk[row] = source.at_risk[source_row]
        if self.group == LIMBO:
            self.unknown[row] = source.unknown[source_row]

    def take(self, source: Leaf, picked: NDArray[np.int64]) -> None:
        """Append some rows of another leaf; they must fit."""
        start, end = self.count, self.count + len(picked)
        self.keys[start:end] = source.keys[picked]
        self.rows[start:end] = source.rows[picked]
        self.liquidation[start:end] = source.liquidation[picked]
        self.at_risk[start:end] = source.at_risk[picked]
        if self.group == LIMBO:
            self.unknown[start:end] = source.unknown[picked]
        self.count = end
        self.touch()

    def keep(self, picked: NDArray[np.int64]) -> None:
        """Drop every row but these."""
        count = len(picked)
        self.keys[:count] = self.keys[picked]
        self.rows[:count] = self.rows[picked]
        self.liquidation[:count] = self.liquidation[picked]
        self.at_risk[:count] = self.at_risk[picked]
        if self.group == LIMBO:
            self.unknown[:count] = self.unknown[picked]
        self.count = count
        self.touch()
