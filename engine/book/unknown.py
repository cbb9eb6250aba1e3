"""The positions that cannot be decided: why, what their group would have told of them, how many of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from engine.domain import Side


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why a position cannot be decided, and what its group would have told of it."""

    reason: str
    symbol: str
    side: Side


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
