"""Accounts that call themselves positions and could never be read as one: unknown, whatever they are."""

from __future__ import annotations

from collections import Counter

MOST_UNREAD = 100_000


class UnreadAccounts:
    """By address, with the reason and the slot in which they were seen; bounded, the oldest are forgotten.

    The book has nobody of them: nothing is known of them that it could keep.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[str, int]] = {}
        self.reasons: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, address: bytes, reason: str, slot: int) -> None:
        """It could not be read in this slot."""
        self.drop(address)
        if len(self._seen) >= MOST_UNREAD:
            self.drop(next(iter(self._seen)))
        self._seen[address] = reason, slot
        self.reasons[reason] += 1

    def drop(self, address: bytes) -> None:
        """It can be read now, or is closed."""
        before = self._seen.pop(address, None)
        if before is not None:
            reason, _ = before
            self.reasons[reason] -= 1
            if not self.reasons[reason]:
                del self.reasons[reason]

    def forget_before(self, slot: int) -> None:
        """A snapshot of this slot is complete: whoever was not seen since then is gone."""
        for address in [address for address, (_, seen) in self._seen.items() if seen < slot]:
            self.drop(address)
