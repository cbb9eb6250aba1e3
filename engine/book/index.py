"""The index: from an address to its place, in about eight bytes a position.

Open addressing with linear probing. Python's own hash of bytes is keyed anew for every process, so nobody
can make addresses that collide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.book.memory import LeafMemory, Places

NOWHERE = -1
_EMPTY = 0xFFFF_FFFF
_GONE = 0xFFFF_FFFE
_FIRST_SLOTS = 1 << 10
_FULLEST = 0.7
_FEW = 32  # found one by one more quickly than in columns


class AddressIndex:
    """Places (numbers below 2^32 - 2) by address; the addresses themselves are kept in the leaves."""

    def __init__(self, memory: LeafMemory) -> None:
        self._memory = memory
        self._count = 0
        self._use(_FIRST_SLOTS)

    def __len__(self) -> int:
        return self._count

    # --- one ---

    def get(self, address: bytes) -> int | None:
        """The place of an address, None when it has none."""
        slots, mask, find = self._slots, self._mask, self._memory.find
        slot = hash(address) & mask
        while (place := slots[slot]) != _EMPTY:
            if place != _GONE:
                leaf, row = find(place)
                if leaf.holds(row, address):
                    return place
            slot = (slot + 1) & mask
        return None

    def put(self, address: bytes, place: int) -> None:
        """Enter an address, which must not be in the index."""
        if self._used >= _FULLEST * len(self._slots):
            self._rebuild(self._count + 1)
        slots, mask = self._slots, self._mask
        slot = hash(address) & mask
        while slots[slot] < _GONE:
            slot = (slot + 1) & mask
        self._used += slots[slot] == _EMPTY
        slots[slot] = place
        self._count += 1

    def move(self, address: bytes, place: int, to: int) -> None:
        """Give an address another place; no other address may have that one."""
        self._slots[self._slot_of(address, place)] = to

    def drop(self, address: bytes, place: int) -> None:
        """Forget an address that has this place."""
        self._slots[self._slot_of(address, place)] = _GONE
        self._count -= 1

    # --- many ---

    def reserve(self, count: int) -> None:
        """Make room for so many addresses at once."""
        if count > _FULLEST * len(self._slots):
            self._rebuild(count)

    def get_many(self, addresses: Sequence[bytes], keys: NDArray[np.void]) -> Places:
        """The place of each address, NOWHERE for those that have none; `keys` are the same as an array."""
        table, mask = self._table, self._mask
        places = np.full(len(addresses), NOWHERE, dtype=np.int64)
        pending, slots = np.arange(len(addresses)), hashes_of(addresses) & mask
        while len(pending) > _FEW:
            found = table[slots].astype(np.int64)
            taken = found < _GONE
            same = np.zeros(len(pending), dtype=np.bool_)
            same[taken] = self._memory.same_keys(found[taken], keys[pending[taken]])
            places[pending[same]] = found[same]
            further = ~same & (found != _EMPTY)
            pending, slots = pending[further], (slots[further] + 1) & mask
        for index in pending.tolist():
            place = self.get(addresses[index])
            if place is not None:
                places[index] = place
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
        table, mask = self._table, self._mask
        pending, slots = np.arange(len(hashes)), hashes & mask
        if hash_at is not None:
            hash_at[places] = hashes
        twice: list[NDArray[np.int64]] = []
        while len(pending):
            free = table[slots] == _EMPTY
            table[slots[free]] = places[pending[free]]
            # Of several that wanted one slot the last has it; the others are told by what they find there.
            found = table[slots].astype(np.int64)
            won = found == places[pending]
            entered = int(won.sum())
            self._used += entered
            self._count += entered
            check = np.flatnonzero(~won & (found < _GONE))
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

    def _slot_of(self, address: bytes, place: int) -> int:
        slots, mask = self._slots, self._mask
        slot = hash(address) & mask
        while slots[slot] != place:
            assert slots[slot] != _EMPTY, "only what is in the index can move or go"
            slot = (slot + 1) & mask
        return slot

    def _rebuild(self, count: int) -> None:
        size = _FIRST_SLOTS
        while count > 0.5 * size:
            size *= 2
        old = self._slots
        self._use(size)
        slots, mask, find = self._slots, self._mask, self._memory.find
        for place in old:
            if place < _GONE:
                leaf, row = find(place)
                slot = hash(leaf.address(row)) & mask
                while slots[slot] != _EMPTY:
                    slot = (slot + 1) & mask
                slots[slot] = place
        self._used = self._count

    def _use(self, size: int) -> None:
        self._table = np.full(size, _EMPTY, dtype=np.uint32)
        self._slots: memoryview = memoryview(self._table.data)  # reads one entry five times as fast
        self._mask = size - 1
        self._used = 0  # slots that are not empty, the ones of gone addresses included


def hashes_of(addresses: Sequence[bytes]) -> NDArray[np.int64]:
    """By what the index looks for them: Python's own hash of each."""
    return np.fromiter(map(hash, addresses), dtype=np.int64, count=len(addresses))
