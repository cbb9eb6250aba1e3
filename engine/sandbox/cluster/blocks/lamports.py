"""Where the lamports are: how many there are in all, and which accounts can be among those with the most."""

from __future__ import annotations

import heapq

from solders.account import Account
from solders.pubkey import Pubkey

MOST_RICH = 4_096


class Lamports:
    """Follows every change of an account, so that nobody has to look through all of them.

    Accounts outside `rich` have at most `floor` lamports each.
    """

    def __init__(self) -> None:
        self.rich: dict[Pubkey, int] = {}
        self.floor = 0
        self._total = 0
        # By how much each slot changed the total.
        self._changes: dict[int, int] = {}

    def changed(
        self, address: Pubkey, before: Account | None, after: Account | None, slot: int | None
    ) -> None:
        """Note a change in `slot`, None for one that every bank sees."""
        lamports = 0 if after is None else after.lamports
        change = lamports - (0 if before is None else before.lamports)
        if change:
            self._total += change
            if slot is not None:
                self._changes[slot] = self._changes.get(slot, 0) + change
        self.found(address, lamports)

    def found(self, address: Pubkey, lamports: int) -> None:
        """Note what an account has."""
        if lamports > self.floor:
            self.rich[address] = lamports
            if len(self.rich) > MOST_RICH:
                richest = heapq.nlargest(MOST_RICH // 4, self.rich.items(), key=_lamports)
                self.rich = dict(richest)
                self.floor = richest[-1][1]
        elif lamports < self.floor or not lamports:
            self.rich.pop(address, None)

    def start_over(self) -> None:
        """Know of no rich account any more; the caller tells all of them anew."""
        self.rich, self.floor = {}, 0

    def total_at(self, slot: int) -> int:
        """The sum over all accounts that the bank of a slot sees."""
        return self._total - sum(change for changed, change in self._changes.items() if changed > slot)

    def rewind(self, slot: int) -> None:
        """Forget that slots after `slot` changed anything: the changes back have been noted too."""
        self._changes = {changed: change for changed, change in self._changes.items() if changed <= slot}

    def forget_before(self, slot: int) -> None:
        """Give up the changes that only banks older than `slot` could tell apart."""
        while self._changes and (oldest := next(iter(self._changes))) <= slot:
            del self._changes[oldest]


def _lamports(entry: tuple[Pubkey, int]) -> int:
    return entry[1]
