"""Hermes's JSON: what is a price is read exactly, what is none is counted by reason, and nothing breaks."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.oracle.hermes_updates import SecondPrice, read_update
from engine.protocol.addresses import BTC_USD, FEEDS, SOL_USD

SYMBOLS = {feed.feed_id.hex(): feed.symbol for feed in FEEDS.values()}
SOL = SOL_USD.feed_id.hex()
REASONS = {
    "not JSON",
    "no list of prices",
    "too many prices",
    "not a price",
    "unknown feed id",
    "number out of range",
    "price is not positive",
    "price truncates to zero",
    "price out of range",
    "exponent out of range",
    "publish time out of range",
}


def entry(feed_id: Any = SOL, **changes: Any) -> dict[str, Any]:
    figures = {"price": "15012345678", "conf": "7500000", "expo": -8, "publish_time": 1_760_000_000}
    return {"id": feed_id, "price": {**figures, **changes}, "ema_price": {}, "metadata": {"slot": 1}}


def read(body: Any) -> tuple[list[SecondPrice], Counter[str]]:
    refused: Counter[str] = Counter()

    def count(reason: str) -> None:
        refused[reason] += 1

    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_update(raw, SYMBOLS, count), refused


def test_a_price_is_read_exactly_and_truncated_as_the_chains_is():
    prices, refused = read({"binary": {"data": ["00"]}, "parsed": [entry(), entry(BTC_USD.feed_id.hex())]})
    assert prices == [
        SecondPrice("SOL/USD", 150_123_456, 75_000, 1_760_000_000),
        SecondPrice("BTC/USD", 150_123_456, 75_000, 1_760_000_000),
    ]
    assert not refused


@pytest.mark.parametrize("feed_id", ["0x" + SOL, SOL.upper(), "0x" + SOL.upper()])
def test_a_feed_id_may_be_spelled_as_anyone_does(feed_id):
    assert len(read({"parsed": [entry(feed_id)]})[0]) == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (entry(price="NaN"), "number out of range"),
        (entry(price="Infinity"), "number out of range"),
        (entry(price="1e9"), "number out of range"),
        (entry(price="1.5"), "number out of range"),
        (entry(price=" 15"), "number out of range"),
        (entry(price="15\n"), "number out of range"),
        (entry(price="١٥"), "number out of range"),
        (entry(price=""), "number out of range"),
        (entry(price="9" * 5_000), "number out of range"),
        (entry(price=str(2**63)), "number out of range"),
        (entry(conf="-1"), "number out of range"),
        (entry(conf=str(2**64)), "number out of range"),
        (entry(price="-15012345678"), "price is not positive"),
        (entry(price="0"), "price is not positive"),
        (entry(price="99"), "price truncates to zero"),
        (entry(expo=-19), "exponent out of range"),
        (entry(expo=7), "exponent out of range"),
        (entry(expo=-(2**62)), "exponent out of range"),
        (entry(expo=6), "price out of range"),
        (entry(publish_time=-1), "publish time out of range"),
        (entry(publish_time=10**30), "publish time out of range"),
        (entry(price=15012345678), "not a price"),
        (entry(price=None), "not a price"),
        (entry(expo="-8"), "not a price"),
        (entry(expo=-8.5), "not a price"),
        (entry(publish_time=True), "not a price"),
        (entry(None), "not a price"),
        (entry("ff" * 32), "unknown feed id"),
        (entry("f" * 10_000), "unknown feed id"),
        (entry(f"0x{SOL}00"), "unknown feed id"),
        (entry("\x1b[31m"), "unknown feed id"),
        (17, "not a price"),
        ({"id": SOL}, "not a price"),
    ],
)
def test_what_is_no_price_is_counted_by_reason_and_its_neighbours_are_read(bad, reason):
    prices, refused = read({"parsed": [entry(), bad, entry()]})
    assert len(prices) == 2
    assert refused == {reason: 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"parsed": [NaN]}', "not JSON"),
        (b"[" * 200_000, "no list of prices"),
        (b'{"parsed":' + b"[" * 200_000, "not JSON"),
        (b"null", "no list of prices"),
        (b'{"parsed": null}', "no list of prices"),
        (b'{"binary": {}}', "no list of prices"),
        ({"parsed": [0] * 1_001}, "too many prices"),
    ],
)
def test_a_body_that_is_no_update_is_counted(body, reason):
    prices, refused = read(body)
    assert prices == []
    assert refused == {reason: 1}


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SOL),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "price", "parsed", "conf", "expo", "publish_time"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=500)
@given(
    st.binary(max_size=200)
    | ANYTHING.map(lambda value: json.dumps(value).encode())
    | st.builds(lambda each: json.dumps({"parsed": [each]}).encode(), ANYTHING)
    | st.builds(
        lambda price, conf, expo, time_s: json.dumps(
            {"parsed": [entry(price=price, conf=conf, expo=expo, publish_time=time_s)]}
        ).encode(),
        st.integers().map(str) | st.text(max_size=25),
        st.integers().map(str),
        st.integers() | st.integers(-20, 8),
        st.integers(),
    )
)
def test_no_bytes_whatever_break_the_reader_and_what_it_reads_is_in_range(body):
    prices, refused = read(body)
    assert set(refused) <= REASONS
    for price in prices:
        assert price.symbol in FEEDS
        assert 0 < price.price_e6 < 2**64
        assert 0 <= price.conf_e6 < 2**64
        assert 0 <= price.publish_time_s < 2**63


@given(st.data())
def test_a_truncated_update_is_refused_whole(data):
    body = json.dumps({"parsed": [entry(), entry()]}).encode()
    prices, refused = read(body[: data.draw(st.integers(0, len(body) - 1))])
    assert prices == []
    assert refused == {"not JSON": 1}
