"""A set of addresses that is read in ascending order, and whose changes cost little however large it is."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain

from solders.pubkey import Pubkey

_BUCKET_ADDRESSES = 1_024


class OrderedAddresses:
    """Addresses in buckets of ascending order, split when they have grown to double size.

    They are in order from the first on: to order a million when they are first read would hold up everybody.
    They are held as bytes, which are ordered as Solana orders keys.
    """

    def __init__(self) -> None:
        self._buckets: list[list[bytes]] = []
        # Per bucket, what is not less than any address in it and less than all in the next.
        self._ends: list[bytes] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Pubkey]:
        """All of them, ascending; to be read before the next change."""
        return map(Pubkey.from_bytes, chain.from_iterable(self._buckets))

    def keys(self) -> list[bytes]:
        """All of them as bytes, ascending; a copy, in much less time than it takes to make addresses."""
        return list(chain.from_iterable(self._buckets))

    def add(self, address: Pubkey) -> None:
        """Put in an address that is not yet there."""
        self._count += 1
        key = bytes(address)
        if not self._buckets:
            self._buckets.append([])
            self._ends.append(key)
        index = min(bisect_left(self._ends, key), len(self._ends) - 1)
        bucket = self._buckets[index]
        insort(bucket, key)
        if len(bucket) > 2 * _BUCKET_ADDRESSES:
            self._buckets[index : index + 1] = [bucket[:_BUCKET_ADDRESSES], bucket[_BUCKET_ADDRESSES:]]
            self._ends.insert(index, bucket[_BUCKET_ADDRESSES - 1])
            index += 1
        self._ends[index] = self._buckets[index][-1]

    def remove(self, address: Pubkey) -> None:
        """Take out an address that is there."""
        self._count -= 1
        key = bytes(address)
        index = bisect_left(self._ends, key)
        bucket = self._buckets[index]
        place = bisect_left(bucket, key)
        assert bucket[place] == key, "only what is there can be taken out"
        del bucket[place]
        if not bucket:
            del self._buckets[index], self._ends[index]
