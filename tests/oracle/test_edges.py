"""One unit around each limit and one second around each age: exact, as the program counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from publisher import NOW_S, SOL, Oracle
from simulated import START_NS

from engine.domain import Verdict
from engine.oracle.feeds import WatchedFeed
from engine.oracle.verdicts import OracleLimits
from engine.protocol.addresses import BTC_USD, SOL_USD

U64_MAX = 2**64 - 1


def limited(**limits: int) -> Oracle:
    """A board of SOL/USD with limits of its own, beside BTC/USD with the general ones."""
    return Oracle([WatchedFeed(SOL_USD, limits=OracleLimits(**limits)), WatchedFeed(BTC_USD)])


@pytest.mark.parametrize("price", [10**10, 10**10 + 1, 10**10 + 99, 12_345_678_901, 2**63 - 1])
@pytest.mark.parametrize("exponent", [-8, -12])
def test_a_confidence_is_wide_from_the_first_unit_beyond_one_percent_as_in_the_program(price, exponent):
    # What the program compares is what was published: conf * 100 > price.
    widest = price // 100
    assert Oracle().publish(price=price, exponent=exponent, conf=widest).verdict is Verdict.OK
    assert Oracle().publish(price=price, exponent=exponent, conf=widest + 1).verdict is Verdict.WIDE


def test_a_confidence_that_only_rounding_makes_narrow_is_wide():
    # In millionths both are 1 and 100; as published it is 1.99 %.
    update = {"price": 100 * 10**12, "conf": 199 * 10**10, "exponent": -18}
    assert Oracle().publish(**update).verdict is Verdict.WIDE


@pytest.mark.parametrize(("dollars_e8", "is_jump"), [
    (110 * 10**8, False), (110 * 10**8 + 99, False), (110 * 10**8 + 100, True),
    (90 * 10**8, False), (90 * 10**8 - 1, True),
])  # fmt: skip
def test_a_jump_begins_with_the_first_millionth_beyond_ten_percent(oracle, dollars_e8, is_jump):
    oracle.publish(100)
    assert (oracle.publish(price=dollars_e8).verdict is Verdict.JUMP) is is_jump


@pytest.mark.parametrize("sign", [1, -1])
def test_sources_diverge_from_the_first_millionth_beyond_one_percent(oracle, sign):
    oracle.publish(100)
    oracle.second(100 * 10**6 + sign * 10**6)
    assert oracle.verdict is Verdict.OK
    oracle.second(100 * 10**6 + sign * (10**6 + 1))
    assert oracle.verdict is Verdict.DIVERGED


@pytest.mark.parametrize(
    ("age_s", "verdict", "is_halted"),
    [
        (59, Verdict.OK, False),
        (60, Verdict.OK, False),
        (61, Verdict.STALE, False),
        (299, Verdict.STALE, False),
        (300, Verdict.STALE, False),
        (301, Verdict.STALE, True),
    ],
)
async def test_a_price_is_held_beyond_sixty_seconds_and_halted_beyond_five_minutes(
    oracle, age_s, verdict, is_halted
):
    oracle.publish(100)
    await oracle.clock.advance(age_s)
    assert oracle.verdict is verdict
    hold = oracle.board.hold(SOL)
    assert (hold is not None and hold.is_halted) is is_halted
    assert oracle.publish(100).verdict is Verdict.OK  # it ends by itself
    assert oracle.board.hold(SOL) is None


async def test_ages_are_counted_in_whole_seconds_of_the_unix_clock_as_the_program_does(oracle):
    oracle.publish(100)
    await oracle.clock.advance(60.999_999_999)
    assert oracle.verdict is Verdict.OK
    await oracle.clock.advance(0.000_000_001)
    assert oracle.verdict is Verdict.STALE


async def test_a_price_that_was_never_read_is_halted_after_five_minutes_too(oracle):
    await oracle.clock.advance(300)
    assert (oracle.verdict, oracle.board.hold(SOL).is_halted) == (Verdict.MISSING, False)
    await oracle.clock.advance(1)
    assert (oracle.verdict, oracle.board.hold(SOL).is_halted) == (Verdict.MISSING, True)


async def test_an_account_that_is_broken_halts_its_symbol_when_the_last_price_is_five_minutes_old(oracle):
    oracle.publish(100)
    assert oracle.again(b"").verdict is Verdict.INVALID
    await oracle.clock.advance(301)
    assert oracle.verdict is Verdict.STALE
    assert oracle.board.hold(SOL).is_halted


def test_when_our_clock_is_set_back_a_halt_is_not_made_of_it(oracle, monkeypatch):
    oracle.publish(100)
    monkeypatch.setattr(oracle.clock, "now_ns", lambda: START_NS - 10_000 * 10**9)
    assert oracle.verdict is Verdict.STALE
    assert not oracle.board.hold(SOL).is_halted


async def test_each_symbol_has_its_own_limits():
    strict = limited(
        max_age_s=10, halt_age_s=60, max_confidence_bps=50, max_jump_bps=200, max_divergence_bps=10
    )
    assert strict.publish(100, conf=50 * 10**6).verdict is Verdict.OK
    assert strict.publish(100, conf=50 * 10**6 + 1).verdict is Verdict.WIDE
    assert strict.publish(102).verdict is Verdict.OK
    assert strict.publish(104.05).verdict is Verdict.JUMP
    assert strict.publish(102).verdict is Verdict.OK
    strict.second(102 * 10**6 + 102_001)
    assert strict.verdict is Verdict.DIVERGED
    strict.second(102 * 10**6 + 102_000)
    assert strict.verdict is Verdict.OK
    await strict.clock.advance(11)
    assert strict.verdict is Verdict.STALE
    await strict.clock.advance(50)
    assert strict.verdict is Verdict.STALE
    assert strict.board.hold(SOL).is_halted


def test_the_largest_numbers_there_are_are_compared_without_a_slip():
    oracle = Oracle()
    largest = {"price": U64_MAX // 10**8, "exponent": 2}  # times 10^8: as near u64's end as can be
    assert oracle.publish(**largest).verdict is Verdict.OK
    mark_e6 = oracle.now.price_e6
    oracle.second(mark_e6 + mark_e6 // 100)
    assert oracle.verdict is Verdict.OK
    oracle.second(mark_e6 + mark_e6 // 100 + 1)
    assert oracle.verdict is Verdict.DIVERGED
    assert oracle.publish(price=1, exponent=-6).verdict is Verdict.JUMP


def test_the_program_that_must_own_the_account_is_each_symbols_own():
    other = replace(WatchedFeed(SOL_USD), receiver=BTC_USD.account)
    oracle = Oracle([other])
    assert oracle.publish(100).verdict is Verdict.INVALID
    assert oracle.publish(100, owner=BTC_USD.account).verdict is Verdict.OK


def test_a_hold_keeps_its_start_while_its_reason_changes_and_is_counted_by_reason(oracle):
    oracle.publish(100)
    oracle.publish(100, conf=10**9)
    since_ns = oracle.board.hold(SOL).since_ns
    for _ in range(3):
        oracle.publish(80)
    oracle.publish(100, price=-1)
    hold = oracle.board.hold(SOL)
    assert (hold.reason, hold.since_ns) == (Verdict.INVALID, since_ns)
    begun = oracle.board.holds.begun
    assert begun[f"{SOL}: wide confidence"] == begun[f"{SOL}: invalid account"] == 1


async def test_a_hold_that_becomes_a_halt_is_still_the_same_hold(oracle):
    oracle.publish(100)
    for _ in range(6):
        await oracle.clock.advance(61)
        assert oracle.verdict is Verdict.STALE
    assert oracle.board.hold(SOL).is_halted
    assert oracle.board.hold(SOL).since_ns == START_NS + 61 * 10**9
    assert oracle.board.holds.begun[f"{SOL}: stale"] == 1


async def test_how_long_a_symbol_was_held_is_added_up_when_it_is_let_go(oracle):
    oracle.publish(100)
    for _ in range(2):
        oracle.publish(100, conf=10**9)
        await oracle.clock.advance(3)
        oracle.publish(100)
    assert oracle.board.holds.held_ns[SOL] == 6 * 10**9
    assert oracle.now_s == NOW_S + 6
