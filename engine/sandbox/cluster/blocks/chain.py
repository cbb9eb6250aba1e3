"""The chain of blocks: which slots have one, on which each builds, and which bank a commitment names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from solders.hash import Hash

from engine.sandbox.cluster.blocks.banks import Bank, Commitment, CommitmentDepths
from engine.sandbox.cluster.blocks.history import LandedTransaction


@dataclass(slots=True)
class Header:
    """A block without its transactions; `blockhash` is None while the block is open."""

    bank: Bank
    parent_slot: int
    previous_blockhash: Hash
    blockhash: Hash | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A closed block; `previous_blockhash` is its parent's."""

    slot: int
    parent_slot: int
    blockhash: Hash
    previous_blockhash: Hash
    height: int
    time_s: int
    transactions: Sequence[LandedTransaction]


class Chain:
    """The blocks of the one fork that counts, the open one last; the oldest beyond `kept` are forgotten.

    A commitment is a number of blocks on top, as votes are cast on blocks: slots without a block do not
    count. What was finalized once stays so, however many blocks are abandoned above it.
    """

    def __init__(self, depths: CommitmentDepths, kept: int) -> None:
        if kept <= depths.finalized:
            raise ValueError(f"a chain keeps more blocks than the {depths.finalized} that finalize one")
        self._depths = depths
        self._kept = kept
        self._headers: dict[int, Header] = {}
        self._slots: list[int] = []
        self._root_slot = 0

    def __contains__(self, slot: int) -> bool:
        return slot in self._headers

    @property
    def tip(self) -> Header:
        """The open block."""
        return self._headers[self._slots[-1]]

    @property
    def first_slot(self) -> int:
        """The oldest slot whose block is still known."""
        return self._slots[0]

    def header(self, slot: int) -> Header | None:
        """The block of a slot, None when it has none or is forgotten."""
        return self._headers.get(slot)

    def append(self, header: Header) -> None:
        """Open a block on top."""
        slot = header.bank.slot
        assert not self._slots or slot > self._slots[-1], "slots ascend"
        self._slots.append(slot)
        self._headers[slot] = header
        self._root_slot = max(self._root_slot, self._below(len(self._slots) - 1, self._depths.finalized))
        while len(self._slots) > self._kept:
            del self._headers[self._slots.pop(0)]

    def abandon(self, slot: int) -> list[int]:
        """Take away every block from `slot` on; answers their slots.

        Raises ValueError when one of them is finalized, or when no block would be left.
        """
        if slot <= self._root_slot:
            raise ValueError(f"slot {slot} cannot be abandoned: {self._root_slot} is finalized")
        keep = bisect_right(self._slots, slot - 1)
        if keep == 0:
            raise ValueError(f"slot {slot} cannot be abandoned: there is no block below it")
        gone = self._slots[keep:]
        del self._slots[keep:]
        for each in gone:
            del self._headers[each]
        return gone

    def newest_at(self, slot: int) -> Header:
        """The block that is newest as of a slot; the oldest known one when all are newer."""
        return self._headers[self._slots[max(bisect_right(self._slots, slot) - 1, 0)]]

    def bank(self, commitment: Commitment, seen_slot: int | None = None) -> Bank:
        """The bank that a commitment level names, to a node that has seen the blocks up to `seen_slot`."""
        index = len(self._slots) - 1 if seen_slot is None else bisect_right(self._slots, seen_slot) - 1
        slot = self._below(max(index, 0), self._depths.of(commitment))
        if seen_slot is None:
            slot = max(slot, self.newest_at(self._root_slot).bank.slot)
        return self._headers[slot].bank

    def slots(self, first: int, last: int) -> Sequence[int]:
        """The slots from `first` to `last`, both included, that have a block, the open one among them."""
        return self._slots[bisect_right(self._slots, first - 1) : bisect_right(self._slots, last)]

    def _below(self, index: int, depth: int) -> int:
        return self._slots[max(index - depth, 0)]
