"""The transactions that landed, by signature, by address and by slot, as far back as they are kept."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import overload

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.sandbox.cluster.transactions.landed import LandedTransaction, open_chunk, pack, unpack

__all__ = ["LandedTransaction", "TransactionHistory"]

DEFAULT_TRANSACTIONS_KEPT = 300_000
_CHUNK_TRANSACTIONS = 16


class TransactionHistory:
    """The transactions that landed, in the order in which they were executed.

    Each has a number, counted from the first; what is `settled` is packed, in chunks of consecutive numbers.
    Whole slots are forgotten, the oldest first, once there are more than `kept` transactions.
    """

    def __init__(self, kept: int = DEFAULT_TRANSACTIONS_KEPT) -> None:
        self._kept = kept
        self._first = self._next = 0
        self._settled = 0
        self._live: dict[int, LandedTransaction] = {}
        self._chunks: dict[int, bytes] = {}
        self._number_of: dict[Signature, int] = {}
        self._naming: dict[Pubkey, array[int]] = {}
        # Of each slot that has any, ascending: the numbers of its first transaction, and behind its last.
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        # The chunk that was read last, as its neighbours are often read next.
        self._opened: tuple[int, list[bytes]] = (-1, [])

    def __len__(self) -> int:
        return self._next - self._first

    def __contains__(self, signature: Signature) -> bool:
        return signature in self._number_of

    def add(self, landed: LandedTransaction) -> None:
        """Record one; its signature must be new, and its slot not older than the last one's."""
        assert landed.signature not in self._number_of, "a transaction lands once"
        number = self._next
        self._next += 1
        self._live[number] = landed
        self._number_of[landed.signature] = number
        self._starts.setdefault(landed.slot, number)
        self._ends[landed.slot] = self._next
        naming = self._naming
        for address in landed.accounts.every:
            numbers = naming.get(address)
            if numbers is None:
                numbers = naming[address] = array("Q")
            numbers.append(number)

    def count_until(self, slot: int) -> int:
        """How many transactions landed up to and including a slot, forgotten ones among them."""
        return next((end for ended, end in reversed(self._ends.items()) if ended <= slot), self._first)

    def counts_until(self, slots: Sequence[int]) -> list[int]:
        """The same for many slots, however old: in the time of one look through the slots that are kept."""
        ended, ends = list(self._ends), list(self._ends.values())
        places = (bisect_right(ended, slot) - 1 for slot in slots)
        return [ends[place] if place >= 0 else self._first for place in places]

    def get(self, signature: Signature) -> LandedTransaction | None:
        """The transaction of a signature."""
        number = self._number_of.get(signature)
        return None if number is None else self.at(number)

    def slot_of(self, signature: Signature) -> int | None:
        """The slot in which a signature landed."""
        number = self._number_of.get(signature)
        if number is None:
            return None
        live = self._live.get(number)
        return self.at(number).slot if live is None else live.slot

    def in_slot(self, slot: int) -> Sequence[LandedTransaction]:
        """A block's transactions, in order."""
        start = self._starts.get(slot)
        if start is None:
            return ()
        return [self.at(number) for number in range(start, self._ends[slot])]

    def naming(self, address: Pubkey) -> Sequence[LandedTransaction]:
        """The transactions that name an address, oldest first; to be read before the next one lands."""
        numbers = self._naming.get(address)
        return () if numbers is None else _Numbered(self, numbers, bisect_left(numbers, self._first))

    def abandon(self, slot: int) -> list[LandedTransaction]:
        """Take back every transaction from `slot` on, none of which is settled; answers them in order."""
        start = next((number for started, number in self._starts.items() if started >= slot), self._next)
        gone = [self._live.pop(number) for number in range(start, self._next)]
        for landed in gone:
            del self._number_of[landed.signature]
            self._starts.pop(landed.slot, None)
            self._ends.pop(landed.slot, None)
            for address in landed.accounts.every:
                numbers = self._naming[address]
                numbers.pop()
                if not numbers:
                    del self._naming[address]
        self._next = start
        return gone

    def settle(self, slot: int) -> None:
        """Pack what landed up to and including a slot that will not be abandoned."""
        end = self.count_until(slot)
        while self._settled + _CHUNK_TRANSACTIONS <= end:
            numbers = range(self._settled, self._settled + _CHUNK_TRANSACTIONS)
            self._settled += _CHUNK_TRANSACTIONS
            self._chunks[numbers.start] = pack([self._live.pop(number) for number in numbers])

    def forget_before(self, slot: int, *, protected_slot: int) -> int | None:
        """Forget the transactions of slots below `slot`, and of the oldest when there are too many.

        None of `protected_slot` or later is forgotten, nor what waits to be packed with others. Answers the
        newest slot that lost transactions.
        """
        forgotten = None
        while self._starts:
            oldest = next(iter(self._starts))
            wanted = oldest < slot or len(self) > self._kept
            if not wanted or oldest >= protected_slot or self._ends[oldest] > self._settled:
                break
            self._forget(oldest)
            forgotten = oldest
        return forgotten

    def at(self, number: int) -> LandedTransaction:
        """The transaction of a number that is not forgotten."""
        live = self._live.get(number)
        if live is not None:
            return live
        index = number % _CHUNK_TRANSACTIONS
        if self._opened[0] != number - index:
            self._opened = (number - index, open_chunk(self._chunks[number - index]))
        return unpack(self._opened[1][index])

    def _forget(self, slot: int) -> None:
        start, end = self._starts.pop(slot), self._ends.pop(slot)
        gone = [self.at(number) for number in range(start, end)]
        for chunk in range(start - start % _CHUNK_TRANSACTIONS, end, _CHUNK_TRANSACTIONS):
            if chunk + _CHUNK_TRANSACTIONS <= end:
                del self._chunks[chunk]
        self._first = end
        for landed in gone:
            del self._number_of[landed.signature]
        self._trim(address for landed in gone for address in landed.accounts.every)

    def _trim(self, addresses: Iterable[Pubkey]) -> None:
        """Drop forgotten numbers; only when they are half of an address's, so that each costs little."""
        for address in set(addresses):
            numbers = self._naming[address]
            stale = bisect_left(numbers, self._first)
            if stale == len(numbers):
                del self._naming[address]
            elif 2 * stale >= len(numbers):
                del numbers[:stale]


class _Numbered(Sequence[LandedTransaction]):
    """Transactions by their numbers, unpacked when they are looked at."""

    def __init__(self, history: TransactionHistory, numbers: array[int], start: int) -> None:
        self._history = history
        self._numbers = numbers
        self._start = start

    def __len__(self) -> int:
        return len(self._numbers) - self._start

    @overload
    def __getitem__(self, index: int) -> LandedTransaction: ...

    @overload
    def __getitem__(self, index: slice) -> list[LandedTransaction]: ...

    def __getitem__(self, index: int | slice) -> LandedTransaction | list[LandedTransaction]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._history.at(self._numbers[self._start + index % len(self)])
