"""The memory of all leaves: large slabs, so that a million positions neither move nor leave holes behind."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.book.leaf import ADDRESS_BYTES, CONTENT_BYTES, LEAF_ROWS, LOADED_ROWS, ROW, UNKNOWN, Leaf

SLAB_LEAVES = 128
_SLAB_ROWS = SLAB_LEAVES * LEAF_ROWS
_KEY_WORDS = ADDRESS_BYTES // 8

Places = NDArray[np.int64]
"""Numbers of rows among the rows of all leaves."""


class _Slab:
    """The rows of 128 leaves. Its pages cost nothing before something is written to them.

    They are asked for as a plain mapping: numpy asks for huge pages, and with those the empty rest of every
    leaf would take memory too.
    """

    def __init__(self, first_leaf: int) -> None:
        keys = mmap.mmap(-1, _SLAB_ROWS * ADDRESS_BYTES)
        self.keys = np.frombuffer(keys, dtype=f"V{ADDRESS_BYTES}")
        self.rows = np.frombuffer(mmap.mmap(-1, _SLAB_ROWS * ROW.itemsize), dtype=ROW)
        self.lines = np.frombuffer(mmap.mmap(-1, 2 * _SLAB_ROWS * 8), dtype=np.int64).reshape(2, -1)
        self.unknown = np.frombuffer(mmap.mmap(-1, _SLAB_ROWS * UNKNOWN.itemsize), dtype=UNKNOWN)
        self.leaves = []
        addresses = memoryview(keys)
        for number in range(SLAB_LEAVES):
            start, end = number * LEAF_ROWS, (number + 1) * LEAF_ROWS
            self.leaves.append(
                Leaf(
                    first_leaf + number,
                    self.keys[start:end],
                    addresses[start * ADDRESS_BYTES : end * ADDRESS_BYTES],
                    self.rows[start:end],
                    self.lines[:, start:end],
                    unknown=self.unknown[start:end],
                )
            )


class LeafMemory:
    """Hands out leaves, and reads and writes many rows of different leaves at once."""

    def __init__(self) -> None:
        self._slabs: list[_Slab] = []
        self._leaves: list[Leaf] = []
        self._free: list[Leaf] = []
        # By leaf: its group, and the liquidation prices that belong in it, from low up to but without high.
        self.group = np.zeros(0, dtype=np.int64)
        self.low = np.zeros(0, dtype=np.int64)
        self.high = np.zeros(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._leaves) - len(self._free)

    def new(self, group: int, low: int, high: int) -> Leaf:
        """An empty leaf of a group, for the liquidation prices from low up to but without high."""
        if not self._free:
            self._add_slab()
        leaf = self._free.pop()
        leaf.group = self.group[leaf.id] = group
        self.low[leaf.id], self.high[leaf.id] = low, high
        return leaf

    def places_for(self, rows: int, groups: int) -> int:
        """A bound of all places after so many rows of so many groups were added, leaf by leaf."""
        leaves = len(self._leaves) + rows // LOADED_ROWS + 2 * groups
        return (leaves + SLAB_LEAVES) * LEAF_ROWS

    def release(self, leaf: Leaf) -> None:
        """Give an emptied leaf back."""
        leaf.count = 0
        leaf.touch()
        self._free.append(leaf)

    def find(self, place: int) -> tuple[Leaf, int]:
        """The leaf and row of a place."""
        leaf_id, row = divmod(place, LEAF_ROWS)
        return self._leaves[leaf_id], row

    def leaf(self, leaf_id: int) -> Leaf:
        """The leaf with this id."""
        return self._leaves[leaf_id]

    def addresses_from(self, place: int, limit: int) -> tuple[list[bytes], int]:
        """Up to `limit` addresses from a place on, leaf by leaf, and the place after them; 0 at the end."""
        found: list[bytes] = []
        leaf_id, row = divmod(place, LEAF_ROWS)
        while leaf_id < len(self._leaves):
            leaf = self._leaves[leaf_id]
            end = max(row, min(leaf.count, row + limit - len(found)))
            found += [leaf.address(at) for at in range(row, end)]
            if len(found) == limit:
                return found, leaf_id * LEAF_ROWS + end
            leaf_id, row = leaf_id + 1, 0
        return found, 0

    def leaves_from(self, leaf_id: int, limit: int) -> tuple[list[Leaf], int]:
        """Up to `limit` leaves from an id on, empty ones too, and the id after them; 0 at the end."""
        end = leaf_id + limit
        return self._leaves[leaf_id:end], end if end < len(self._leaves) else 0

    def same_keys(self, places: Places, keys: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether each place holds the address at the same index of `keys`."""
        same = np.zeros(len(places), dtype=np.bool_)
        wanted = keys.view(np.uint64).reshape(-1, _KEY_WORDS)
        for slab, picked, rows in self._by_slab(places):
            held = slab.keys[rows].view(np.uint64).reshape(-1, _KEY_WORDS)
            same[picked] = (held == wanted[picked]).all(axis=1)
        return same

    def same_content(self, places: Places, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether each place says the same of its position as the row at the same index."""
        same = np.zeros(len(places), dtype=np.bool_)
        wanted = _content(rows)
        for slab, picked, at in self._by_slab(places):
            same[picked] = (_content(slab.rows[at]) == wanted[picked]).all(axis=1)
        return same

    def same_unknown(self, places: Places, unknown: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether each place, in limbo, is there as what stands at the same index of `unknown`."""
        same = np.zeros(len(places), dtype=np.bool_)
        wanted = _bytes(unknown)
        for slab, picked, at in self._by_slab(places):
            same[picked] = (_bytes(slab.unknown[at]) == wanted[picked]).all(axis=1)
        return same

    def slots(self, places: Places) -> NDArray[np.uint64]:
        """The slot in which each place was read."""
        slots = np.zeros(len(places), dtype=np.uint64)
        for slab, picked, rows in self._by_slab(places):
            slots[picked] = slab.rows["slot"][rows]
        return slots

    def note_read(self, places: Places, slots: NDArray[np.uint64], epoch: int) -> None:
        """Each place was read in this slot, with what it holds already."""
        for slab, picked, rows in self._by_slab(places):
            slab.rows["epoch"][rows] = epoch
            slab.rows["slot"][rows] = slots[picked]

    def write(
        self,
        places: Places,
        rows: NDArray[np.void],
        liquidation: NDArray[np.int64],
        at_risk: NDArray[np.int64],
    ) -> None:
        """Overwrite many rows in their places; their lines must belong to their leaves."""
        for slab, picked, at in self._by_slab(places):
            slab.rows[at] = rows[picked]
            slab.lines[0, at] = liquidation[picked]
            slab.lines[1, at] = at_risk[picked]

    def _add_slab(self) -> None:
        slab = _Slab(len(self._leaves))
        self._slabs.append(slab)
        self._leaves += slab.leaves
        self._free += reversed(slab.leaves)
        self.group = np.append(self.group, np.zeros(SLAB_LEAVES, dtype=np.int64))
        self.low = np.append(self.low, np.zeros(SLAB_LEAVES, dtype=np.int64))
        self.high = np.append(self.high, np.zeros(SLAB_LEAVES, dtype=np.uint64))

    def _by_slab(self, places: Places) -> Iterator[tuple[_Slab, NDArray[np.int64], NDArray[np.int64]]]:
        """Slab by slab: the indexes into `places` that lie there, and their rows in it."""
        if len(places) == 0:
            return
        numbers = places // _SLAB_ROWS
        if len(self._slabs) == 1:
            yield self._slabs[0], np.arange(len(places)), places
            return
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            picked = order[start:end]
            number = int(ordered[start])
            yield self._slabs[number], picked, places[picked] - number * _SLAB_ROWS


def _content(rows: NDArray[np.void]) -> NDArray[np.uint8]:
    return _bytes(rows)[:, :CONTENT_BYTES]


def _bytes(rows: NDArray[np.void]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(-1, rows.dtype.itemsize)
