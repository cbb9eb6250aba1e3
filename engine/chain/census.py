"""How many positions the nodes tell: a snapshot that lacks most of them must be told twice."""

from __future__ import annotations

FEW = 20  # below this a snapshot may well have lost most of them


class Census:
    """The count of the last snapshot that was taken, and of one that was not."""

    def __init__(self) -> None:
        self.taken = 0
        self._doubted: int | None = None

    def takes(self, count: int) -> bool:
        """Whether a snapshot of so many positions is to be taken.

        What it lacks would be forgotten, and nobody would liquidate it. So one with less than half is read
        again, from another node where there is one, and taken when that tells about as many.
        """
        told_before = self._doubted is not None and abs(count - self._doubted) <= max(FEW, count // 10)
        if self.taken > FEW and 2 * count < self.taken and not told_before:
            self._doubted = count
            return False
        self.taken, self._doubted = count, None
        return True
