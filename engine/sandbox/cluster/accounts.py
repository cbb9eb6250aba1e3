"""The cluster's accounts: their latest state, an index by owner, and older states that banks still see."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator, KeysView

from solders.account import Account
from solders.pubkey import Pubkey


class AccountStates:
    """Account states by slot. Only what changed in slots above the finalized one has more than one version.

    `None` stands for an account that does not exist.
    """

    def __init__(self) -> None:
        self._latest: dict[Pubkey, Account] = {}
        self._owned: dict[Pubkey, set[Pubkey]] = {}
        self._ordered: dict[Pubkey, list[Pubkey]] = {}
        # Per account, oldest first: the slot of a change and the state that it replaced.
        self._replaced: dict[Pubkey, list[tuple[int, Account | None]]] = {}
        self._changed: deque[tuple[int, dict[Pubkey, None]]] = deque()

    def __len__(self) -> int:
        return len(self._latest)

    def latest(self, address: Pubkey) -> Account | None:
        """The state in the open slot."""
        return self._latest.get(address)

    def seed(self, address: Pubkey, account: Account | None) -> None:
        """Set a state as if it had always been so: every bank sees it."""
        self._put(address, account)
        self._replaced.pop(address, None)

    def write(self, address: Pubkey, account: Account | None, slot: int) -> None:
        """Record a change in `slot`, which must not be older than the last one."""
        if not self._changed or self._changed[-1][0] != slot:
            self._changed.append((slot, {}))
        changed = self._changed[-1][1]
        if address not in changed:
            changed[address] = None
            self._replaced.setdefault(address, []).append((slot, self._latest.get(address)))
        self._put(address, account)

    def at(self, address: Pubkey, slot: int) -> Account | None:
        """The state that the bank of `slot` sees."""
        for changed_in, before in self._replaced.get(address, ()):
            if changed_in > slot:
                return before
        return self._latest.get(address)

    def every(self, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that the bank of `slot` sees, in no order; to be read before the next write."""
        newer = self._changed_after(slot)
        for address, account in self._latest.items():
            if address not in newer:
                yield address, account
        for address in newer:
            then = self.at(address, slot)
            if then is not None:
                yield address, then

    def owned_by(self, program: Pubkey, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that a program owns in the bank of `slot`, by ascending address."""
        latest = self._latest
        newer = self._changed_after(slot)
        if not newer:
            return ((address, latest[address]) for address in self._addresses_of(program))
        found = [
            (address, latest[address]) for address in self._addresses_of(program) if address not in newer
        ]
        for address in newer:
            account = self.at(address, slot)
            if account is not None and account.owner == program:
                found.append((address, account))
        found.sort(key=lambda pair: bytes(pair[0]))
        return iter(found)

    def addresses_owned_by(self, program: Pubkey, slot: int) -> list[Pubkey]:
        """The addresses of every account that a program owns in the bank of `slot`, ascending."""
        newer = self._changed_after(slot)
        if not newer:
            return list(self._addresses_of(program))
        found = [address for address in self._addresses_of(program) if address not in newer]
        for address in newer:
            account = self.at(address, slot)
            if account is not None and account.owner == program:
                insort(found, address, key=bytes)
        return found

    def changed_in(self, slot: int) -> KeysView[Pubkey]:
        """The accounts that changed in a slot, in the order of their first change."""
        for changed_slot, addresses in reversed(self._changed):
            if changed_slot == slot:
                return addresses.keys()
        return {}.keys()

    def forget_before(self, slot: int) -> None:
        """Give up versions that only banks older than `slot` could see."""
        while self._changed and self._changed[0][0] <= slot:
            changed_slot, addresses = self._changed.popleft()
            for address in addresses:
                versions = self._replaced.get(address)
                if versions and versions[0][0] <= changed_slot:
                    del versions[0]
                    if not versions:
                        del self._replaced[address]

    def _changed_after(self, slot: int) -> set[Pubkey]:
        newer: set[Pubkey] = set()
        for changed_slot, addresses in reversed(self._changed):
            if changed_slot <= slot:
                break
            newer.update(addresses)
        return newer

    def _addresses_of(self, program: Pubkey) -> list[Pubkey]:
        ordered = self._ordered.get(program)
        if ordered is None:
            ordered = sorted(self._owned.get(program, ()), key=bytes)
            self._ordered[program] = ordered
        return ordered

    def _put(self, address: Pubkey, account: Account | None) -> None:
        before = self._latest.get(address)
        owner_before = None if before is None else before.owner
        owner = None if account is None else account.owner
        if account is None:
            self._latest.pop(address, None)
        else:
            self._latest[address] = account
        if owner_before == owner:
            return
        if owner_before is not None:
            self._owned[owner_before].discard(address)
            self._ordered.pop(owner_before, None)
        if owner is not None:
            self._owned.setdefault(owner, set()).add(address)
            self._ordered.pop(owner, None)
