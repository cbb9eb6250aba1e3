"""Accounts of one length, side by side in one block of memory: a list of bytes for whoever wants one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class AccountBlock(Sequence[bytes]):
    """`letters[i]` are the bytes of account i; there is at least one byte in each."""

    def __init__(self, letters: NDArray[np.uint8]) -> None:
        self.letters = np.ascontiguousarray(letters)

    @classmethod
    def of(cls, accounts: Sequence[bytes]) -> AccountBlock | None:
        """The same accounts as a block, None when they are not of one length."""
        if isinstance(accounts, cls):
            return accounts
        length = len(accounts[0]) if accounts else 0
        if not length or set(map(len, accounts)) != {length}:
            return None
        return cls(np.frombuffer(b"".join(accounts), np.uint8).reshape(-1, length))

    @property
    def length(self) -> int:
        """The bytes of each account."""
        return int(self.letters.shape[1])

    def __len__(self) -> int:
        return len(self.letters)

    def __iter__(self) -> Iterator[bytes]:
        every: list[bytes] = self.letters.view(f"V{self.length}").reshape(-1).tolist()
        return iter(every)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> AccountBlock: ...

    def __getitem__(self, index: int | slice) -> bytes | AccountBlock:
        if isinstance(index, slice):
            return AccountBlock(self.letters[index])
        account: bytes = self.letters[index].tobytes()
        return account
