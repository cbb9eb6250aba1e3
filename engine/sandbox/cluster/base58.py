"""Base58 as Solana writes bytes in text, for any length.

Keys, hashes and signatures go through solders' own; the rest is worked ten digits at a time, because
arithmetic on numbers of a thousand bits is what costs.
"""

from __future__ import annotations

from contextlib import suppress

from solders.pubkey import Pubkey
from solders.signature import Signature

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT_OF = {character: digit for digit, character in enumerate(_ALPHABET)}
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_BLOCK_DIGITS = 10
# Nearly every text of these lengths is a key: it is tried as one first.
_KEY_CHARACTERS = (43, 44)
# The largest power of 58 that still fits into 64 bits.
_BLOCK = 58**_BLOCK_DIGITS


def base58_encode(data: bytes) -> str:
    """Bytes as Solana writes them in text."""
    if len(data) == Pubkey.LENGTH:
        return str(Pubkey(data))
    if len(data) == Signature.LENGTH:
        return str(Signature.from_bytes(data))
    number = int.from_bytes(data, "big")
    blocks = []
    while number:
        number, block = divmod(number, _BLOCK)
        blocks.append(_block_text(block))
    blocks.reverse()
    leading_zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * leading_zeros + "".join(blocks).lstrip("1")


def base58_decode(text: str) -> bytes:
    """The bytes of base58 text; raises ValueError for any other text."""
    if len(text) in _KEY_CHARACTERS:
        with suppress(ValueError):
            return bytes(Pubkey.from_string(text))
    number = 0
    try:
        for start in range(0, len(text), _BLOCK_DIGITS):
            digits = text[start : start + _BLOCK_DIGITS]
            block = 0
            for character in digits:
                block = block * 58 + _DIGIT_OF[character]
            number = number * 58 ** len(digits) + block
    except KeyError:
        raise ValueError("InvalidCharacter") from None
    leading_ones = len(text) - len(text.lstrip("1"))
    return b"\0" * leading_ones + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _block_text(block: int) -> str:
    """Ten digits, two at a time."""
    block, fifth = divmod(block, 3364)
    block, fourth = divmod(block, 3364)
    block, third = divmod(block, 3364)
    first, second = divmod(block, 3364)
    return _PAIRS[first] + _PAIRS[second] + _PAIRS[third] + _PAIRS[fourth] + _PAIRS[fifth]
