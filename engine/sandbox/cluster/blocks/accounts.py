"""The cluster's accounts beside the machine that holds them: an index by owner, and older states."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator, KeysView
from operator import itemgetter

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.lamports import Lamports
from engine.sandbox.cluster.blocks.ordered_addresses import OrderedAddresses

MAX_OLD_STATES = 400_000
_slot_of = itemgetter(0)
_lamports_of = itemgetter(1)


class AccountStates:
    """Account states by slot. The latest is read from where it lives; only what later slots replaced is kept.

    `None` stands for an account that does not exist. Old states are given up with `forget_before`: no bank
    below `oldest_slot` can be read.
    """

    def __init__(self, latest: Callable[[Pubkey], Account | None], most_old: int = MAX_OLD_STATES) -> None:
        self.latest = latest
        """The state in the open slot."""
        self.oldest_slot = 0
        self._most_old = most_old
        self._old_count = 0
        self._owned: dict[Pubkey, OrderedAddresses] = {}
        # Per account, oldest first: the slot of a change and the state that it replaced.
        self._replaced: dict[Pubkey, list[tuple[int, Account | None]]] = {}
        self._changed: deque[tuple[int, dict[Pubkey, None]]] = deque()
        self._lamports = Lamports()

    def seed(self, address: Pubkey, before: Account | None, after: Account | None) -> None:
        """Note a change as if it had always been so: every bank sees it."""
        self._lamports.changed(address, before, after, None)
        self._move(address, before, after)

    def write(self, address: Pubkey, before: Account | None, after: Account | None, slot: int) -> None:
        """Note a change in `slot`, which must not be older than the last one."""
        if not self._changed or self._changed[-1][0] != slot:
            self._changed.append((slot, {}))
        changed = self._changed[-1][1]
        if address not in changed:
            changed[address] = None
            self._replaced.setdefault(address, []).append((slot, before))
            self._old_count += 1
        self._lamports.changed(address, before, after, slot)
        self._move(address, before, after)

    def at(self, address: Pubkey, slot: int) -> Account | None:
        """The state that the bank of `slot` sees."""
        versions = self._replaced.get(address)
        if versions is not None:
            index = bisect_right(versions, slot, key=_slot_of)
            if index < len(versions):
                return versions[index][1]
        return self.latest(address)

    def owned_by(self, program: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that a program owns in the bank of `slot`, by ascending address.

        To be read before the next change.
        """
        newer = self._changed_after(slot)
        then = [
            (address, account)
            for address in sorted(newer, key=bytes)
            if (account := self.at(address, slot)) is not None and account.owner == program
        ]
        return _merged(self._latest_of(program, newer), iter(then))

    def every(self, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that the bank of `slot` sees, owner by owner; to be read before the next change."""
        newer = self._changed_after(slot)
        for program in self._owned:
            yield from self._latest_of(program, newer)
        for address in newer:
            then = self.at(address, slot)
            if then is not None:
                yield address, then

    def total_lamports(self, slot: int) -> int:
        """The sum over all accounts that the bank of `slot` sees."""
        return self._lamports.total_at(slot)

    def largest(self, count: int, slot: int) -> list[tuple[Pubkey, int]]:
        """The accounts with the most lamports in the bank of `slot`, largest first, and how many they are."""
        candidates = {*self._lamports.rich, *self._changed_after(slot)}
        held = ((address, self.at(address, slot)) for address in candidates)
        top = heapq.nlargest(
            count, ((address, then.lamports) for address, then in held if then is not None), key=_lamports_of
        )
        if not self._lamports.floor or (len(top) == count and top[-1][1] >= self._lamports.floor):
            return top
        # Too many of the rich have become poor: all accounts are looked at once, to know the rich again.
        self._lamports.start_over()
        for address, account in self.every(self._newest_slot):
            self._lamports.found(address, account.lamports)
        then_all = ((address, account.lamports) for address, account in self.every(slot))
        return heapq.nlargest(count, then_all, key=_lamports_of)

    def keys_owned_by(self, program: Pubkey, slot: int) -> list[bytes]:
        """The addresses of every account that a program owns in the bank of `slot`, ascending, as bytes."""
        owned = self._owned.get(program)
        found = [] if owned is None else owned.keys()
        for address in self._changed_after(slot):
            now, then = self.latest(address), self.at(address, slot)
            owned_now = now is not None and now.owner == program
            owned_then = then is not None and then.owner == program
            if owned_then and not owned_now:
                insort(found, bytes(address))
            elif owned_now and not owned_then:
                del found[bisect_left(found, bytes(address))]
        return found

    def changed_in(self, slot: int) -> KeysView[Pubkey]:
        """The accounts that changed in a slot, in the order of their first change."""
        for changed_slot, addresses in reversed(self._changed):
            if changed_slot == slot:
                return addresses.keys()
            if changed_slot < slot:
                break
        return {}.keys()

    def changed_after(self, slot: int) -> list[Pubkey]:
        """The accounts that changed in later slots, each once, in the order of their first change."""
        changed = (addresses for changed_slot, addresses in self._changed if changed_slot > slot)
        return list(dict.fromkeys(address for addresses in changed for address in addresses))

    def rewind(self, slot: int) -> None:
        """Forget that slots after `slot` changed anything; whoever holds the latest states has reset them.

        The index must have been told by `seed` what the resetting changed.
        """
        while self._changed and self._changed[-1][0] > slot:
            _, addresses = self._changed.pop()
            for address in addresses:
                self._drop(address, -1)
        self._lamports.rewind(slot)

    def forget_before(self, slot: int, *, sacrificed_before: int) -> None:
        """Give up states that only banks older than `slot` could see.

        Where there are more old states than allowed, banks older than `sacrificed_before` lose theirs too,
        the oldest first.
        """
        while self._changed:
            changed_slot, addresses = self._changed[0]
            crowded = self._old_count > self._most_old and changed_slot <= sacrificed_before
            if changed_slot > slot and not crowded:
                break
            self._changed.popleft()
            self.oldest_slot = max(self.oldest_slot, changed_slot)
            for address in addresses:
                self._drop(address, 0)
        self.oldest_slot = max(self.oldest_slot, slot)
        self._lamports.forget_before(self.oldest_slot)

    def _drop(self, address: Pubkey, index: int) -> None:
        versions = self._replaced[address]
        del versions[index]
        self._old_count -= 1
        if not versions:
            del self._replaced[address]

    @property
    def _newest_slot(self) -> int:
        return self._changed[-1][0] if self._changed else self.oldest_slot

    def _changed_after(self, slot: int) -> set[Pubkey]:
        newer: set[Pubkey] = set()
        for changed_slot, addresses in reversed(self._changed):
            if changed_slot <= slot:
                break
            newer.update(addresses)
        return newer

    def _latest_of(self, program: Pubkey, without: set[Pubkey]) -> Iterator[tuple[Pubkey, Account]]:
        latest = self.latest
        for address in self._owned.get(program, ()):
            if address not in without:
                account = latest(address)
                assert account is not None, "the index names accounts that exist"
                yield address, account

    def _move(self, address: Pubkey, before: Account | None, after: Account | None) -> None:
        owner_before = None if before is None else before.owner
        owner = None if after is None else after.owner
        if owner_before == owner:
            return
        if owner_before is not None:
            addresses = self._owned[owner_before]
            addresses.remove(address)
            if not addresses:
                del self._owned[owner_before]
        if owner is not None:
            if owner not in self._owned:
                self._owned[owner] = OrderedAddresses()
            self._owned[owner].add(address)


def _merged(
    one: Iterator[tuple[Pubkey, Account]], other: Iterator[tuple[Pubkey, Account]]
) -> Iterator[tuple[Pubkey, Account]]:
    """Both in ascending order of address; heapq.merge would compare accounts."""
    waiting = next(other, None)
    for pair in one:
        while waiting is not None and bytes(waiting[0]) < bytes(pair[0]):
            yield waiting
            waiting = next(other, None)
        yield pair
    while waiting is not None:
        yield waiting
        waiting = next(other, None)
