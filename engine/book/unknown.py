"""The positions that cannot be decided: why, what their group would have told of them, how many of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.domain import Side
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


def kinds_of(columns: PositionColumns, picked: NDArray[np.int64]) -> list[Unknown]:
    """What there is to know of some rows that have no group; those that are alike share one object."""
    rows, kinds = columns.rows[picked], dict[tuple[int, int, int], Unknown]()
    found = []
    for kind in zip(*(rows[name].tolist() for name in ("symbol", "is_short", "leverage")), strict=True):
        if kind not in kinds:
            symbol, is_short, leverage = kind
            side = Side.SHORT if is_short else Side.LONG
            kinds[kind] = Unknown(why_undecidable(leverage), columns.symbols[symbol], side)
        found.append(kinds[kind])
    return found


class Unknowns:
    """By address, counted by reason as they come and go."""

    def __init__(self) -> None:
        self._by_address: dict[bytes, Unknown] = {}
        self._reasons: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_address)

    @property
    def reasons(self) -> dict[str, int]:
        """How many there are for each reason; only reasons that somebody has."""
        return {reason: count for reason, count in self._reasons.items() if count}

    def get(self, address: bytes) -> Unknown | None:
        """What is known of one, None when it is not among them."""
        return self._by_address.get(address)

    def put(self, address: bytes, unknown: Unknown) -> None:
        """One more, or another reason for one."""
        self.drop(address)
        self._by_address[address] = unknown
        self._reasons[unknown.reason] += 1

    def drop(self, address: bytes) -> None:
        """It is known now, or gone."""
        before = self._by_address.pop(address, None)
        if before is not None:
            self._reasons[before.reason] -= 1

    def update(self, unknown: Mapping[bytes, Unknown]) -> None:
        """Many at once."""
        for address, each in unknown.items():
            self.put(address, each)
