"""How much of the past a ledger keeps: it runs for days without growing beyond this."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# What is still being read out of the finalized bank when the next one is finalized stays readable so long.
_SLOTS_BELOW_ROOT = 32


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds of the past.

    `transactions` and `blocks` bound the history; transactions that could still land twice are kept beyond.
    `lag_slots` is how far a node may lag behind and still see accounts as they were, and `old_states` how
    many account states are kept for such nodes: when either is used up, the node sees newer slots.
    """

    transactions: int = 300_000
    blocks: int = 60_000
    lag_slots: int = 1_000
    old_states: int = 400_000

    def oldest_slot(self, slot: int, root: int, wanted: Iterable[int]) -> int:
        """The oldest slot as of which accounts must be readable, given what readers want."""
        usual = root - _SLOTS_BELOW_ROOT
        return min(root, max(min([usual, *wanted]), min(slot - self.lag_slots, usual)))
