"""Reading the numbers, keys and texts of on-chain data one after the other, all of them little endian."""

from __future__ import annotations

import struct

from solders.pubkey import Pubkey

_NO_KEY = bytes(32)


class Unparsable(ValueError):
    """Data is not what its program writes: a node then shows it as it is."""


class ByteReader:
    """Goes through data from front to back; every read raises Unparsable when the data ends before it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise Unparsable(f"{len(self._data)} bytes, {end} needed")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def u8(self) -> int:
        """One byte as a number."""
        return self.take(1)[0]

    def u16(self) -> int:
        """A number of 2 bytes."""
        return int.from_bytes(self.take(2), "little")

    def i16(self) -> int:
        """A signed number of 2 bytes."""
        return int.from_bytes(self.take(2), "little", signed=True)

    def u32(self) -> int:
        """A number of 4 bytes."""
        return int.from_bytes(self.take(4), "little")

    def u64(self) -> int:
        """A number of 8 bytes."""
        return int.from_bytes(self.take(8), "little")

    def i64(self) -> int:
        """A signed number of 8 bytes."""
        return int.from_bytes(self.take(8), "little", signed=True)

    def u128(self) -> int:
        """A number of 16 bytes."""
        return int.from_bytes(self.take(16), "little")

    def f64(self) -> float:
        """A floating-point number of 8 bytes."""
        return float(struct.unpack("<d", self.take(8))[0])

    def flag(self) -> bool:
        """A byte that must be 0 or 1."""
        value = self.u8()
        if value > 1:
            raise Unparsable(f"{value} is no boolean")
        return value == 1

    def amount(self) -> str:
        """A number of 8 bytes in text, as amounts are written that JavaScript's numbers cannot hold."""
        return str(self.u64())

    def key(self) -> str:
        """An address in text."""
        return str(Pubkey(self.take(32)))

    def optional_key(self) -> str | None:
        """An address behind a byte that says whether there is one."""
        return self.key() if self.flag() else None

    def key_unless_zero(self) -> str | None:
        """An address, of which zeros stand for none."""
        taken = self.take(32)
        return None if taken == _NO_KEY else str(Pubkey(taken))

    def long_text(self) -> str:
        """UTF-8 behind its length in 8 bytes, as bincode writes it."""
        return _text(self.take(self.u64()))

    def short_text(self) -> str:
        """UTF-8 behind its length in 4 bytes, as Borsh writes it."""
        return _text(self.take(self.u32()))

    def rest_as_text(self) -> str:
        """All that is left, as UTF-8."""
        return _text(self.rest())


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Unparsable("text that is no UTF-8") from None
