"""The index: from an address to its place, in about eight bytes a position.

Open addressing with linear probing. Python's own hash of bytes is keyed anew for every process, so nobody
can make addresses that collide. A table that is full is replaced by a larger one little by little: each
address that comes carries some of the old table over, and until the last of it both are looked into.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.book.memory import LeafMemory, Places

NOWHERE = -1
# What a slot says: nothing ever, somebody who is gone, or a place and two.
_EMPTY, _GONE, _FIRST = 0, 1, 2
_FIRST_SLOTS = 1 << 10
_FULLEST = 0.7
_CARRIED = 32
"""Slots of the old table that are cleared with each address: so many that the new one is not full before."""


class _Table:
    """The slots, as an array and for reading one of them five times as fast."""

    def __init__(self, size: int) -> None:
        self.entries = np.zeros(size, dtype=np.uint32)  # costs nothing before it is used
        self.slots = memoryview(self.entries.data)
        self.mask = size - 1
        self.used = 0  # slots that are not empty, the ones of gone addresses included

    def __len__(self) -> int:
        return len(self.slots)

    def enter(self, address: bytes, place: int) -> None:
        """Give an address that is not here a slot."""
        slots, mask = self.slots, self.mask
        slot = hash(address) & mask
        while slots[slot] >= _FIRST:
            slot = (slot + 1) & mask
        self.used += slots[slot] == _EMPTY
        slots[slot] = place + _FIRST

    def slot_of(self, address: bytes, place: int) -> int | None:
        """The slot of an address that has this place, None when it is not here."""
        slots, mask = self.slots, self.mask
        slot = hash(address) & mask
        while (entry := slots[slot]) != place + _FIRST:
            if entry == _EMPTY:
                return None
            slot = (slot + 1) & mask
        return slot


class AddressIndex:
    """Places (numbers below 2^32 - 2) by address; the addresses themselves are kept in the leaves."""

    def __init__(self, memory: LeafMemory) -> None:
        self._memory = memory
        self._count = 0
        self._table = _Table(_FIRST_SLOTS)
        self._old: _Table | None = None
        self._carried = 0  # slots of the old table that are clear

    def __len__(self) -> int:
        return self._count

    # --- one ---

    def get(self, address: bytes) -> int | None:
        """The place of an address, None when it has none."""
        place = self._look(self._table, address)
        if place is None and self._old is not None:
            place = self._look(self._old, address)
        return place

    def put(self, address: bytes, place: int) -> None:
        """Enter an address, which must not be in the index."""
        if self._old is not None:
            self._carry_over(self._old)
        elif self._table.used >= _FULLEST * len(self._table):
            self._old, self._carried = self._table, 0
            # Not much smaller than the old one: that has to be empty before this one is full.
            self._table = _Table(_size_for(self._count + 1, len(self._table) // 4))
        self._table.enter(address, place)
        self._count += 1

    def move(self, address: bytes, place: int, to: int) -> None:
        """Give an address another place; no other address may have that one."""
        self._say(address, place, to + _FIRST)

    def drop(self, address: bytes, place: int) -> None:
        """Forget an address that has this place."""
        self._say(address, place, _GONE)
        self._count -= 1

    # --- many ---

    def reserve(self, count: int) -> None:
        """Make room for so many addresses at once, in an index that has none."""
        assert self._count == 0, "only an empty index is made to measure"
        self._old, self._table = None, _Table(_size_for(count, _FIRST_SLOTS))

    def get_many(self, addresses: Sequence[bytes], keys: NDArray[np.void]) -> Places:
        """The place of each address, NOWHERE for those that have none; `keys` are the same as an array."""
        hashes = hashes_of(addresses)
        places = self._look_many(self._table, hashes, keys)
        if self._old is not None:
            missing = np.flatnonzero(places == NOWHERE)
            places[missing] = self._look_many(self._old, hashes[missing], keys[missing])
        return places

    def put_many(
        self,
        hashes: NDArray[np.int64],
        keys: NDArray[np.void],
        places: Places,
        hash_at: NDArray[np.int64] | None,
    ) -> NDArray[np.int64]:
        """Enter addresses with these hashes, whose rows are written, into room that was reserved.

        `hash_at`, if given, has the hash of whoever is at a place, and is kept up: then addresses are
        compared where their hashes are equal, and else wherever they meet. Returns the indexes of those that
        are in the index already, ascending.
        """
        entries, mask = self._table.entries, self._table.mask
        pending, slots = np.arange(len(hashes)), hashes & mask
        if hash_at is not None:
            hash_at[places] = hashes
        twice: list[NDArray[np.int64]] = []
        while len(pending):
            free = entries[slots] == _EMPTY
            entries[slots[free]] = places[pending[free]] + _FIRST
            # Of several that wanted one slot the last has it; the others are told by what they find there.
            found = entries[slots].astype(np.int64) - _FIRST
            won = found == places[pending]
            entered = int(won.sum())
            self._table.used += entered
            self._count += entered
            check = np.flatnonzero(~won & (found >= 0))
            if hash_at is not None:
                check = check[hash_at[found[check]] == hashes[pending[check]]]
            further = ~won
            if len(check):
                same = check[self._memory.same_keys(found[check], keys[pending[check]])]
                twice.append(pending[same])
                further[same] = False
            pending, slots = pending[further], (slots[further] + 1) & mask
        return np.sort(np.concatenate(twice)) if twice else np.zeros(0, dtype=np.int64)

    # --- inside ---

    def _look(self, table: _Table, address: bytes) -> int | None:
        slots, mask, find = table.slots, table.mask, self._memory.find
        slot = hash(address) & mask
        while (entry := slots[slot]) != _EMPTY:
            if entry != _GONE:
                leaf, row = find(entry - _FIRST)
                if leaf.holds(row, address):
                    return entry - _FIRST
            slot = (slot + 1) & mask
        return None

    def _look_many(self, table: _Table, hashes: NDArray[np.int64], keys: NDArray[np.void]) -> Places:
        places = np.full(len(hashes), NOWHERE, dtype=np.int64)
        pending, slots = np.arange(len(hashes)), hashes & table.mask
        while len(pending):
            found = table.entries[slots].astype(np.int64) - _FIRST
            taken = found >= 0
            same = np.zeros(len(pending), dtype=np.bool_)
            same[taken] = self._memory.same_keys(found[taken], keys[pending[taken]])
            places[pending[same]] = found[same]
            further = ~same & (found != _EMPTY - _FIRST)
            pending, slots = pending[further], (slots[further] + 1) & table.mask
        return places

    def _say(self, address: bytes, place: int, entry: int) -> None:
        """Overwrite the slot of an address that has this place."""
        for table in (self._table, self._old):
            slot = None if table is None else table.slot_of(address, place)
            if table is not None and slot is not None:
                table.slots[slot] = entry
                return
        raise AssertionError("only what is in the index can move or go")

    def _carry_over(self, old: _Table) -> None:
        """Move what the next few slots of the old table have; when it is clear, forget it."""
        end = min(self._carried + _CARRIED, len(old))
        for slot in range(self._carried, end):
            entry = old.slots[slot]
            if entry >= _FIRST:
                leaf, row = self._memory.find(entry - _FIRST)
                self._table.enter(leaf.address(row), entry - _FIRST)
                old.slots[slot] = _GONE
        self._carried = end
        if end == len(old):
            self._old = None


def _size_for(count: int, least: int) -> int:
    """The slots of a table that so many addresses fill by half at most."""
    size = max(_FIRST_SLOTS, least)
    while count > 0.5 * size:
        size *= 2
    return size


def hashes_of(addresses: Sequence[bytes]) -> NDArray[np.int64]:
    """By what the index looks for them: Python's own hash of each."""
    return np.fromiter(map(hash, addresses), dtype=np.int64, count=len(addresses))
