"""A snapshot on its way into the book: decoded in slices, sorted into groups, entered leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.book.batch import apply_many
from engine.book.book import Book
from engine.book.filling import BLOCK, Filling, Part, in_limbo
from engine.book.index import hashes_of
from engine.book.leaf import ADDRESS_BYTES, LIMBO
from engine.book.placing import group_numbers, rows_of
from engine.protocol.position_columns import PositionColumns, decode_positions

_TOGETHER_ROWS = 16_384


class _Slice(NamedTuple):
    """Some positions, group by group: those of group g are the rows from `starts[g]` to `starts[g + 1]`."""

    starts: list[int]
    rows: Part

    def of(self, group: int) -> Part:
        """Those of one group."""
        return self.rows.picked(slice(self.starts[group], self.starts[group + 1]))


class SnapshotLoad:
    """One snapshot, at least as new as `slot`. Give it slices with `take`, then exhaust `finish`.

    Into an empty book the positions go sorted and all at once, and nothing else may change it until the end;
    into another one goes what changed.
    """

    def __init__(self, book: Book, slot: int) -> None:
        self._book = book
        self.slot = slot
        self._epoch = book.begin_epoch()
        self.is_first = len(book) == 0
        self._waiting: list[tuple[NDArray[np.uint16], Part]] = []
        self._slices: list[_Slice] = []
        self._limbo: list[Part] = []
        self.count = 0
        self.changed = 0  # positions of which the book was told something new, in a book that held some

    def take(self, addresses: Sequence[bytes], accounts: Sequence[bytes]) -> list[tuple[bytes, str]]:
        """Take some accounts of the snapshot; returns those that are no positions, with the reason."""
        columns = decode_positions(accounts)
        if self.is_first:
            self._collect(addresses, columns)
        else:
            slots = np.full(len(columns.rows), self.slot, dtype=np.uint64)
            self.changed += len(apply_many(self._book, addresses, columns, slots, self._epoch))
        self.count += len(accounts)
        return [(addresses[index], reason) for index, reason in columns.refused]

    def finish(self) -> Iterator[None]:
        """Enter what was collected, and forget what the snapshot lacks; yields every few milliseconds."""
        if self.is_first:
            self._put_together()
            book = self._book
            filling = Filling(book.shelves, book.unknowns, self.count, book.at_risk_milli)
            yield
            for group in book.shelves.groups:
                parts = (
                    self._limbo if group.number == LIMBO else [each.of(group.number) for each in self._slices]
                )
                yield from filling.fill(group, parts)
            self._slices.clear()
            self._limbo.clear()
            self._book.forget_closings(self.slot)
        else:
            held = len(self._book)
            yield from self._book.sweep(self.slot)
            self.changed += max(0, held - len(self._book))

    # --- into an empty book ---

    def _collect(self, addresses: Sequence[bytes], columns: PositionColumns) -> None:
        source = columns.rows
        wanted = (source["is_liquidated"] == 0) & (source["size_e6"] > 0)
        is_as_given = np.array_equal(columns.origin, np.arange(len(addresses)))
        taken = addresses if is_as_given else [addresses[index] for index in columns.origin.tolist()]
        closed = self._book.closed_after(self.slot)
        if closed:
            wanted &= np.array([address not in closed for address in taken], dtype=np.bool_)
        numbers = group_numbers(self._book.shelves, columns)
        rows = Part(
            hashes_of(taken),
            np.frombuffer(b"".join(taken), dtype=f"V{ADDRESS_BYTES}"),
            rows_of(columns, self.slot, self._epoch).view(BLOCK),
        )
        unknown = np.flatnonzero(wanted & (numbers == LIMBO))
        if len(unknown):
            hashes, keys, blocks = rows.picked(unknown)
            why = self._book.unknowns.columns_of(columns, unknown)
            self._limbo.append(Part(hashes, keys, in_limbo(blocks, why)))
            wanted &= numbers != LIMBO
        if not wanted.all():
            order = np.flatnonzero(wanted)
            numbers, rows = numbers[order], rows.picked(order)
        self._waiting.append((numbers.astype(np.uint16), rows))
        if sum(len(each) for each, _ in self._waiting) >= _TOGETHER_ROWS:
            self._put_together()

    def _put_together(self) -> None:
        """One sort brings each group's rows together, and they are handed out as slices."""
        if not self._waiting:
            return
        numbers = np.concatenate([each for each, _ in self._waiting])
        hashes, keys, rows = zip(*(part for _, part in self._waiting), strict=True)
        whole = Part(np.concatenate(hashes), np.concatenate(keys), np.concatenate(rows))
        order = np.argsort(numbers, kind="stable")
        starts = np.searchsorted(numbers[order], np.arange(len(self._book.shelves.groups) + 1))
        self._slices.append(_Slice(starts.tolist(), whole.picked(order)))
        self._waiting.clear()
