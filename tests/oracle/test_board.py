"""Every price gets a verdict; only a fresh, sure, confirmed price of the right feed may be acted on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publisher import NOW_S, STRANGER, Oracle
from simulated import START_NS
from solders.pubkey import Pubkey

from engine.domain import Verdict
from engine.protocol.addresses import BTC_USD, PYTH_RECEIVER, SOL_USD


def test_a_symbol_without_a_price_or_without_a_feed_is_missing(oracle):
    assert oracle.now.verdict is Verdict.MISSING
    assert oracle.board.current("DOGE/USD").verdict is Verdict.MISSING
    assert oracle.board.feed_of("DOGE/USD") is None


def test_a_good_price_is_ok_and_exact(oracle):
    price = oracle.publish(123.45678901, conf=10**6)
    assert price.verdict is Verdict.OK
    assert (price.price_e6, price.conf_e6, price.raw_price) == (123_456_789, 10_000, 12_345_678_901)
    assert oracle.board.held_since_ns("SOL/USD") is None


@pytest.mark.parametrize("age_s", [0, 1, 60])
async def test_a_price_of_up_to_sixty_seconds_is_ok(oracle, age_s):
    oracle.publish()
    await oracle.clock.advance(age_s)
    assert oracle.now.verdict is Verdict.OK


async def test_a_price_that_grows_older_than_sixty_seconds_is_stale_without_any_news(oracle):
    oracle.publish()
    await oracle.clock.advance(61)
    assert oracle.now.verdict is Verdict.STALE
    assert oracle.board.held_since_ns("SOL/USD") == oracle.clock.now_ns()
    assert oracle.publish().verdict is Verdict.OK


def test_a_price_from_the_future_is_not_acted_on_and_does_not_shut_out_the_next_good_one(oracle):
    oracle.publish()
    assert oracle.publish(publish_time_s=NOW_S + 61).verdict is not Verdict.OK
    assert oracle.now.verdict is not Verdict.OK
    assert oracle.publish(101).verdict is Verdict.OK
    assert oracle.publish(publish_time_s=NOW_S + 60).verdict is Verdict.OK


def test_when_our_clock_jumps_back_a_price_from_the_future_is_stale(oracle, monkeypatch):
    oracle.publish()
    monkeypatch.setattr(oracle.clock, "now_ns", lambda: START_NS - 61 * 10**9)
    assert oracle.now.verdict is Verdict.STALE


def test_an_engine_that_starts_on_a_clock_that_is_behind_calls_prices_stale_and_no_account_invalid(oracle):
    assert oracle.publish(publish_time_s=NOW_S + 3 * 3600).verdict is Verdict.STALE
    assert oracle.board.refused == {"SOL/USD: published in the future": 1}


@pytest.mark.parametrize("time_s", [-(2**63), -1, 0, 2**63 - 1])
def test_a_publish_time_at_the_ends_of_its_range_is_not_acted_on(oracle, time_s):
    oracle.publish(publish_time_s=time_s)
    assert oracle.now.verdict is not Verdict.OK
    assert oracle.publish().verdict is Verdict.OK


@pytest.mark.parametrize(("conf", "verdict"), [(10**8, Verdict.OK), (10**8 + 100, Verdict.WIDE)])
def test_confidence_beyond_one_percent_is_wide(oracle, conf, verdict):
    assert oracle.publish(100, conf=conf).verdict is verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"price": 0},
        {"price": -1},
        {"price": -(2**63)},
        {"price": 99, "exponent": -8},  # truncates to nothing
        {"exponent": -19},
        {"exponent": 7},
        {"exponent": 2**31 - 1},
        {"exponent": -(2**31)},
        {"price": 2**63 - 1, "exponent": 6},
        {"conf": 2**64 - 1, "exponent": 6, "price": 1},
        {"feed_id": BTC_USD.feed_id},
        {"feed_id": bytes(32)},
        {"owner": STRANGER},
    ],
)
def test_what_is_no_price_of_this_feed_is_invalid_until_a_good_one_comes(oracle, changes):
    oracle.publish()
    assert oracle.publish(**changes).verdict is Verdict.INVALID
    assert oracle.now.verdict is Verdict.INVALID
    assert oracle.publish().verdict is Verdict.OK


def test_partial_verification_foreign_bytes_and_closed_accounts_are_invalid(oracle):
    oracle.publish()
    good = oracle.data
    partial = good[:40] + b"\x00\x05" + good[41:-1]
    for data in (partial, b"", good[:60], b"\0" * 134, b"\1" * 134, good[:40] + b"\x02" + good[41:]):
        assert oracle.again(data).verdict is Verdict.INVALID
    assert sum(oracle.board.refused.values()) == 6


def test_what_was_refused_is_counted_under_a_bounded_number_of_names(oracle):
    for number in range(2000):
        oracle.again(number.to_bytes(8, "little") * 20)
        oracle.board.apply(SOL_USD.account, b"", Pubkey.new_unique(), oracle.slot)
    assert len(oracle.board.refused) <= 3 * 8


def test_an_older_slot_and_an_older_publish_time_change_nothing(oracle):
    oracle.publish(100)
    assert oracle.publish(50, slot=oracle.slot - 5) is None
    assert oracle.publish(50, publish_time_s=NOW_S - 1) is None
    assert oracle.now.price_e6 == 100 * 10**6
    assert oracle.now.verdict is Verdict.OK


def test_an_account_that_is_not_on_the_board_is_none_of_its_business(oracle):
    oracle.publish()
    assert oracle.board.apply(STRANGER, oracle.data, PYTH_RECEIVER, 10**6) is None


@pytest.mark.parametrize("dollars", [110.01, 89.99, 1, 10_000])
def test_a_jump_of_more_than_ten_percent_waits_for_two_further_updates(oracle, dollars):
    oracle.publish(100)
    assert [oracle.publish(dollars).verdict for _ in range(4)] == [
        Verdict.JUMP,
        Verdict.JUMP,
        Verdict.OK,
        Verdict.OK,
    ]


@pytest.mark.parametrize("dollars", [110, 90, 100.5])
def test_a_move_of_ten_percent_is_no_jump(oracle, dollars):
    oracle.publish(100)
    assert oracle.publish(dollars).verdict is Verdict.OK


def test_a_jump_that_goes_back_was_none(oracle):
    oracle.publish(100)
    assert oracle.publish(50).verdict is Verdict.JUMP
    assert oracle.publish(100).verdict is Verdict.OK
    assert oracle.publish(50).verdict is Verdict.JUMP
    assert oracle.publish(50).verdict is Verdict.JUMP


def test_a_jump_that_jumps_on_begins_to_wait_anew(oracle):
    oracle.publish(100)
    verdicts = [oracle.publish(dollars).verdict for dollars in (80, 60, 40, 40, 40)]
    assert verdicts == [Verdict.JUMP] * 4 + [Verdict.OK]


def test_the_same_update_seen_again_confirms_no_jump(oracle):
    oracle.publish(100)
    oracle.publish(50)
    for _ in range(5):
        assert oracle.again(oracle.data).verdict is Verdict.JUMP
    assert oracle.publish(50).verdict is Verdict.JUMP
    assert oracle.publish(50).verdict is Verdict.OK


def test_a_wide_price_confirms_no_jump_and_is_no_new_base(oracle):
    oracle.publish(100)
    oracle.publish(50)
    assert oracle.publish(50, conf=10**9).verdict is Verdict.WIDE
    assert oracle.publish(100).verdict is Verdict.OK


def test_since_when_a_symbol_is_held_is_kept_until_it_is_usable(oracle):
    oracle.publish()
    oracle.publish(price=-1)
    since = oracle.board.held_since_ns("SOL/USD")
    oracle.publish(50)
    assert since == oracle.board.held_since_ns("SOL/USD")
    oracle.publish(100)
    assert oracle.board.held_since_ns("SOL/USD") is None


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_board_or_make_a_usable_price(data):
    oracle = Oracle()
    oracle.publish()
    assert oracle.again(data).verdict is Verdict.INVALID
