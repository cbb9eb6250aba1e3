"""Pyth price accounts: layout, level, and the exact scaling of a price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from engine.protocol.accounts import AccountRefused
from engine.protocol.addresses import SOL_USD
from engine.protocol.pyth import (
    PRICE_DISCRIMINATOR,
    PriceUpdate,
    decode_price_update,
    encode_price_update,
    to_e6,
)

UPDATE = PriceUpdate(
    write_authority=Pubkey.from_bytes(bytes([4] * 32)),
    feed_id=SOL_USD.feed_id,
    price=15_012_345_678,
    conf=9_999_999,
    exponent=-8,
    publish_time_s=1_760_000_000,
    prev_publish_time_s=1_759_999_999,
    ema_price=-5,
    ema_conf=2**64 - 1,
    posted_slot=321,
)


def test_the_layout_is_the_published_one() -> None:
    raw = encode_price_update(UPDATE)
    assert len(raw) == 134
    assert list(raw[:8]) == list(PRICE_DISCRIMINATOR) == [34, 241, 35, 99, 157, 126, 244, 205]
    assert raw[40] == 1
    assert raw[41:73] == SOL_USD.feed_id
    assert int.from_bytes(raw[73:81], "little") == 15_012_345_678
    assert int.from_bytes(raw[89:93], "little", signed=True) == -8
    assert int.from_bytes(raw[93:101], "little") == 1_760_000_000
    assert raw[133] == 0


@pytest.mark.parametrize(
    "changes",
    [{}, {"price": -(2**63), "exponent": -(2**31)}, {"price": 2**63 - 1, "publish_time_s": -1}],
    ids=str,
)
def test_a_price_round_trips(changes: dict[str, int]) -> None:
    update = replace(UPDATE, **changes)
    assert decode_price_update(encode_price_update(update)) == update
    assert decode_price_update(encode_price_update(update)[:133]) == update


@pytest.mark.parametrize("level", [0, 2, 255])
def test_a_level_below_full_is_refused(level: int) -> None:
    raw = bytearray(encode_price_update(UPDATE))
    raw[40] = level
    with pytest.raises(AccountRefused, match="not fully verified"):
        decode_price_update(bytes(raw))


def test_foreign_and_truncated_accounts_are_refused() -> None:
    raw = encode_price_update(UPDATE)
    with pytest.raises(AccountRefused, match="foreign discriminator"):
        decode_price_update(bytes(8) + raw[8:])
    for length in range(8, 133):
        with pytest.raises(AccountRefused, match="truncated"):
            decode_price_update(raw[:length])


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(raw=st.integers(0, 2**64 - 1), exponent=st.integers(-18, 6))
def test_a_price_scales_to_micro_dollars_truncated(raw: int, exponent: int) -> None:
    truth = floor(raw * Fraction(10) ** (exponent + 6))
    if truth < 2**64:
        assert to_e6(raw, exponent) == truth
    else:
        with pytest.raises(AccountRefused, match="price out of range"):
            to_e6(raw, exponent)


@pytest.mark.parametrize("exponent", [-19, 7, -(2**31), 2**31 - 1])
def test_an_exponent_out_of_range_is_refused(exponent: int) -> None:
    with pytest.raises(AccountRefused, match="exponent out of range"):
        to_e6(1, exponent)


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(AccountRefused, match="price out of range"):
        to_e6(-1, -6)
