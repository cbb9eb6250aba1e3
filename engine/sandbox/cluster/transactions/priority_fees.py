"""What transactions of the last 150 slots paid per compute unit, for getRecentPrioritizationFees."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from solders.pubkey import Pubkey

RECENT_SLOTS = 150
# Nodes that lag behind ask for windows that end earlier.
SPARE_SLOTS = 64


@dataclass(slots=True)
class _SlotFees:
    slot: int
    lowest: int | None = None
    lowest_by_account: dict[Pubkey, int] = field(default_factory=dict)


class PriorityFees:
    """The lowest price that landed, per slot and per written account, in micro-lamports per compute unit."""

    def __init__(self) -> None:
        self._slots: deque[_SlotFees] = deque(maxlen=RECENT_SLOTS + SPARE_SLOTS)

    def open_slot(self, slot: int) -> None:
        """Start counting a new slot."""
        self._slots.append(_SlotFees(slot))

    def abandon(self, slot: int) -> None:
        """Forget the slots from `slot` on."""
        while self._slots and self._slots[-1].slot >= slot:
            self._slots.pop()

    def landed(self, price: int, writable: Sequence[Pubkey]) -> None:
        """Count a transaction of the open slot."""
        fees = self._slots[-1]
        fees.lowest = price if fees.lowest is None else min(fees.lowest, price)
        by_account = fees.lowest_by_account
        for address in writable:
            known = by_account.get(address)
            if known is None or price < known:
                by_account[address] = price

    def recent(self, accounts: Sequence[Pubkey], newest_slot: int) -> list[tuple[int, int]]:
        """(slot, price) of each slot up to `newest_slot`: what was enough to write to these accounts."""
        found = []
        for fees in self._slots:
            if fees.slot <= newest_slot:
                prices = [fees.lowest or 0]
                prices += [fees.lowest_by_account[a] for a in accounts if a in fees.lowest_by_account]
                found.append((fees.slot, max(prices)))
        return found[-RECENT_SLOTS:]
