"""Account codecs: both generations round-trip, and nothing that is not an account of the program decodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.domain import FundState, Generation, Position, Side
from engine.protocol import accounts
from engine.protocol.accounts import AccountRefused, decode_fund, decode_position, encode_position

ADDRESS = Pubkey.from_bytes(bytes([9] * 32))
u64s = st.integers(0, 2**64 - 1)
symbols = st.text(min_size=1, max_size=32).filter(
    lambda text: text.isprintable() and len(text.encode()) <= 32
)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    generation = draw(st.sampled_from(Generation))
    is_documented = generation is Generation.DOCUMENTED
    return Position(
        address=ADDRESS,
        owner=Pubkey.from_bytes(draw(st.binary(min_size=32, max_size=32))),
        symbol=draw(symbols),
        side=draw(st.sampled_from(Side)) if is_documented else Side.LONG,
        size_e6=draw(u64s),
        collateral_e6=draw(u64s),
        entry_price_e6=draw(u64s),
        leverage=draw(st.integers(0, 2**16 - 1)),
        maintenance_margin_e6=draw(u64s),
        is_liquidated=draw(st.booleans()) if is_documented else False,
        created_at_s=draw(st.integers(-(2**63), 2**63 - 1)) if is_documented else 0,
        generation=generation,
        slot=draw(st.integers(0, 2**40)),
    )


def sample(generation: Generation = Generation.DOCUMENTED) -> Position:
    side = Side.SHORT if generation is Generation.DOCUMENTED else Side.LONG
    return Position(ADDRESS, ADDRESS, "BTC/USD", side, 1, 2, 3, 20, 5, False, 0, generation, 7)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(position=positions())
def test_a_position_of_either_generation_round_trips(position: Position) -> None:
    raw = encode_position(position)
    expected = 120 if position.generation is Generation.DOCUMENTED else 78 + len(position.symbol.encode())
    assert len(raw) == expected
    assert decode_position(ADDRESS, raw, position.slot) == position


def test_the_discriminators_are_the_published_ones() -> None:
    assert list(accounts.POSITION_DISCRIMINATOR) == [170, 188, 143, 228, 122, 64, 247, 208]
    assert list(accounts.FUND_DISCRIMINATOR) == [43, 134, 170, 87, 102, 16, 142, 147]


def test_the_filter_for_positions_is_their_discriminator_in_base58() -> None:
    padded = Pubkey.from_bytes(accounts.POSITION_DISCRIMINATOR + bytes(24))
    whole = int.from_bytes(bytes(padded), "big")
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    value = 0
    for digit in accounts.POSITION_DISCRIMINATOR_BASE58:
        value = value * 58 + digits.index(digit)
    assert value == whole >> (24 * 8)


@pytest.mark.parametrize("generation", list(Generation))
def test_every_truncation_is_refused(generation: Generation) -> None:
    raw = encode_position(sample(generation))
    for length in range(len(raw)):
        if length == 85:
            continue  # the deployed generation of the same position
        with pytest.raises(AccountRefused):
            decode_position(ADDRESS, raw[:length], 0)
    with pytest.raises(AccountRefused, match="wrong length"):
        decode_position(ADDRESS, raw + b"\0", 0)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0, 0, "foreign discriminator"),
        (40, 33, "symbol too long"),
        (43, 1, "symbol too long"),
        (44, 0xFF, "symbol is not UTF-8"),
        (44, 0x07, "symbol is empty or has control characters"),
        (85, 2, "flag is neither 0 nor 1"),
        (86, 255, "flag is neither 0 nor 1"),
    ],
)
def test_a_spoiled_byte_is_named(offset: int, value: int, reason: str) -> None:
    raw = bytearray(encode_position(sample()))
    raw[offset] = value
    with pytest.raises(AccountRefused) as refused:
        decode_position(ADDRESS, bytes(raw), 0)
    assert refused.value.reason == reason


def test_an_empty_symbol_is_refused() -> None:
    with pytest.raises(AccountRefused, match="empty"):
        decode_position(ADDRESS, encode_position(replace(sample(), symbol="")), 0)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(tail=st.binary(max_size=200))
def test_random_bytes_decode_to_a_position_or_are_refused(tail: bytes) -> None:
    raw = accounts.POSITION_DISCRIMINATOR + tail
    try:
        position = decode_position(ADDRESS, raw, 0)
    except AccountRefused as refused:
        assert refused.reason
    else:
        assert len(encode_position(position)) == len(raw)


@pytest.mark.parametrize("size", [72, 73])
def test_the_fund_decodes_in_both_lengths(size: int) -> None:
    numbers = (2**64 - 1, 2, 3, 4)
    raw = accounts.FUND_DISCRIMINATOR + bytes(ADDRESS) + b"".join(n.to_bytes(8, "little") for n in numbers)
    assert decode_fund(raw.ljust(size, b"\xff"), 11) == FundState(ADDRESS, *numbers, slot=11)


def test_what_is_no_fund_is_refused() -> None:
    raw = accounts.FUND_DISCRIMINATOR + bytes(64)
    for length in (8, 71, 74, 120):
        with pytest.raises(AccountRefused, match="wrong length"):
            decode_fund(raw.ljust(length, b"\0")[:length], 0)
    with pytest.raises(AccountRefused, match="foreign discriminator"):
        decode_fund(bytes(72), 0)
