"""Base58 against arithmetic done digit by digit, and against solders' own for what it can write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.sandbox.cluster.base58 import base58_decode, base58_encode

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _digit_by_digit(data: bytes) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


@given(st.binary(max_size=200), st.integers(0, 40))
def test_any_bytes_are_written_as_digit_by_digit_and_read_back(data: bytes, zeros: int) -> None:
    data = bytes(zeros) + data
    text = base58_encode(data)
    assert text == _digit_by_digit(data)
    assert base58_decode(text) == data


@given(st.binary(min_size=32, max_size=32) | st.binary(min_size=64, max_size=64))
def test_keys_and_signatures_take_the_short_way_to_the_same_text(data: bytes) -> None:
    assert base58_encode(data) == _digit_by_digit(data)
    assert base58_decode(base58_encode(data)) == data


@pytest.mark.parametrize("length", [10, 11, 43, 44, 45, 100])
@pytest.mark.parametrize("alien", ["0", "O", "I", "l", " ", "é"])
def test_text_with_a_character_that_is_no_digit_is_refused(length: int, alien: str) -> None:
    for place in (0, length // 2, length - 1):
        text = "2" * place + alien + "2" * (length - place - 1)
        with pytest.raises(ValueError, match="InvalidCharacter"):
            base58_decode(text)


def test_text_as_long_as_a_keys_that_is_none_is_read_all_the_same() -> None:
    for text in ("z" * 43, "z" * 44, "1" * 43 + "2"):
        assert base58_encode(base58_decode(text)) == text
    assert base58_decode(str(Pubkey.default())) == bytes(32)
