"""The positions that cannot be decided: why, what their group would have told of them, how many of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.book.leaf import LIMBO, UNKNOWN, Leaf
from engine.domain import Side
from engine.protocol.accounts import MAX_SYMBOL_BYTES
from engine.protocol.margin import UnsupportedLeverage, maintenance_bps
from engine.protocol.position_columns import PositionColumns

NO_FEED = "no price feed for the symbol"
NO_MAINTENANCE = "unsupported leverage"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why a position cannot be decided, and what its group would have told of it."""

    reason: str
    symbol: str
    side: Side


def why_undecidable(leverage: int) -> str:
    """Why a position that can be read has no group: its own terms first, whatever symbols are watched."""
    try:
        maintenance_bps(leverage)
    except UnsupportedLeverage:
        return NO_MAINTENANCE
    return NO_FEED


class Unknowns:
    """Reads and writes what the leaves keep of positions in limbo, and counts them by reason.

    Reasons have numbers. There are as many as ways in which an account can be wrong; symbols, which anybody
    may invent, are kept with their positions and go with them.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._counts: list[int] = []

    def __len__(self) -> int:
        return sum(self._counts)

    @property
    def reasons(self) -> dict[str, int]:
        """How many there are for each reason; only reasons that somebody has."""
        counted = zip(self._numbers, self._counts, strict=True)
        return {reason: count for reason, count in counted if count}

    def of(self, leaf: Leaf, row: int) -> Unknown | None:
        """What is known of one; None for a position that is not in limbo."""
        if leaf.group != LIMBO:
            return None
        symbol, size, is_short, number = leaf.unknown.item(row)
        name = bytes(symbol)[:size].decode()
        return Unknown(list(self._numbers)[number], name, Side.SHORT if is_short else Side.LONG)

    def note(self, leaf: Leaf, row: int, unknown: Unknown) -> None:
        """Whoever is in this row, new in limbo, is there for this reason."""
        symbol, number = unknown.symbol.encode(), self._number(unknown.reason)
        leaf.unknown[row] = symbol, len(symbol), unknown.side is Side.SHORT, number
        self._counts[number] += 1

    def forget(self, leaf: Leaf, row: int) -> None:
        """Whoever is in this row leaves it; nothing unless that is in limbo."""
        if leaf.group == LIMBO:
            self._counts[leaf.unknown["reason"].item(row)] -= 1

    def columns_of(self, columns: PositionColumns, picked: NDArray[np.int64]) -> NDArray[np.void]:
        """The same of some decoded positions that have no group, as rows of type UNKNOWN; not counted yet."""
        rows, found = columns.rows[picked], np.zeros(len(picked), UNKNOWN)
        names = [name.encode() for name in columns.symbols]
        padded = b"".join(name.ljust(MAX_SYMBOL_BYTES, b"\0") for name in names)
        found["symbol"] = np.frombuffer(padded, f"V{MAX_SYMBOL_BYTES}")[rows["symbol"]]
        found["symbol_bytes"] = np.array([len(name) for name in names], dtype=np.uint8)[rows["symbol"]]
        found["is_short"] = rows["is_short"]
        for leverage in np.unique(rows["leverage"]).tolist():
            number = self._number(why_undecidable(leverage))
            found["reason"][rows["leverage"] == leverage] = number
        return found

    def count(self, unknown: NDArray[np.void]) -> None:
        """Rows like these are in limbo now."""
        for number, count in enumerate(np.bincount(unknown["reason"]).tolist()):
            self._counts[number] += count

    def _number(self, reason: str) -> int:
        number = self._numbers.setdefault(reason, len(self._numbers))
        if number == len(self._counts):
            self._counts.append(0)
        return number
