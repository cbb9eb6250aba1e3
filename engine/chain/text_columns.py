"""Many texts of one length at once: base58 addresses and base64 data, decoded in columns.

Characters are looked up in pairs; what is no character of the alphabet makes its row a bad one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ADDRESS_CHARACTERS = 44
"""A text of 32 bytes in base58 has no more; a shorter one is filled up in front, see `FILLER`."""

_BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
FILLER = _BASE58[0]
"""The digit zero."""

_NONE = 0xFFFF
_LIMBS, _WORDS = 11, 8  # of four base58 digits each, and of 32 bits each

Bytes = NDArray[np.uint8]
"""A row for each text."""


def _pairs(alphabet: bytes) -> NDArray[np.uint16]:
    """The number that each two characters stand for, by the two as a little endian word."""
    digit = np.full(256, _NONE)
    digit[np.frombuffer(alphabet, np.uint8)] = np.arange(len(alphabet))
    second, first = (each.reshape(-1) for each in np.meshgrid(digit, digit, indexing="ij"))
    is_none = (first == _NONE) | (second == _NONE)
    return np.where(is_none, _NONE, first * len(alphabet) + second).astype("<u2")


_PAIRS58, _PAIRS64 = _pairs(_BASE58), _pairs(_BASE64)
# By limb and word: what one of the limb adds to the word. No sum of these exceeds 64 bits.
_SHARES = [
    [
        np.uint64(58 ** (4 * (_LIMBS - 1 - limb)) >> 32 * (_WORDS - 1 - word) & 0xFFFF_FFFF)
        for word in range(_WORDS)
    ]
    for limb in range(_LIMBS)
]


def base64_rows(texts: Bytes) -> tuple[Bytes, NDArray[np.int64]]:
    """The bytes of texts without padding, and the numbers of those that are bad.

    A text has a multiple of four characters.
    """
    pairs = _PAIRS64.take(np.ascontiguousarray(texts).view("<u2"))
    # Two pairs in a word, the first one low.
    words = pairs.view("<u4")
    groups = words & 0xFFF
    groups <<= 12
    groups |= words >> 16
    rows = np.empty((*groups.shape, 3), np.uint8)
    for place, shift in enumerate((16, 8, 0)):
        rows[:, :, place] = groups >> shift
    return rows.reshape(len(texts), -1), _bad_rows(pairs)


def address_rows(texts: Bytes, lengths: NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
    """The 32 bytes of each address, and the numbers of those that are bad.

    A text has ADDRESS_CHARACTERS, the last `lengths[i]` of them its own and FILLER before these.
    """
    pairs = _PAIRS58.take(np.ascontiguousarray(texts).view("<u2"))
    words = np.ascontiguousarray(pairs.view("<u4").T)
    limbs = (words & 0xFFFF).astype(np.uint64)
    limbs *= np.uint64(58**2)
    limbs += words >> 16
    decoded = np.empty((_WORDS, len(texts)), dtype=">u4")
    carry, share = np.zeros((2, len(texts)), dtype=np.uint64)
    for word in reversed(range(_WORDS)):
        for limb in range(_LIMBS):
            if _SHARES[limb][word]:
                np.multiply(limbs[limb], _SHARES[limb][word], out=share)
                carry += share
        decoded[word] = carry & 0xFFFF_FFFF
        carry >>= np.uint64(32)
    rows = np.ascontiguousarray(decoded.T).view(np.uint8)
    bad = carry != 0
    bad[_bad_rows(pairs)] = True
    first = texts[np.arange(len(texts)), ADDRESS_CHARACTERS - lengths]
    for row in np.flatnonzero((rows[:, 0] == 0) | (first == FILLER)).tolist():
        # A leading zero is one byte and one digit.
        text, value = texts[row, ADDRESS_CHARACTERS - int(lengths[row]) :].tobytes(), rows[row].tobytes()
        digits = len(text) - len(text.lstrip(_BASE58[:1]))
        bad[row] |= digits != len(value) - len(value.lstrip(b"\0"))
    return rows, np.flatnonzero(bad)


def _bad_rows(pairs: NDArray[np.uint16]) -> NDArray[np.int64]:
    if pairs.max(initial=0) != _NONE:
        return np.zeros(0, np.int64)
    return np.flatnonzero((pairs == _NONE).any(axis=1))
