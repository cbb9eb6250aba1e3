"""The second source can hold a price or confirm a jump of it. It is never the mark, nor makes us act."""

from __future__ import annotations

import pytest
from publisher import NOW_S, SOL

from engine.domain import Verdict

DOLLAR = 10**6


def test_two_sources_that_agree_are_ok_and_the_mark_is_the_chains(oracle):
    oracle.publish(100)
    assert oracle.second(100_400_000)
    assert oracle.verdict is Verdict.OK
    assert oracle.now.price_e6 == 100 * DOLLAR
    assert oracle.board.opinion(SOL).price_e6 == 100_400_000


def test_two_sources_that_differ_hold_the_symbol_until_they_agree(oracle):
    oracle.publish(100)
    oracle.second(97 * DOLLAR)
    assert oracle.verdict is Verdict.DIVERGED
    assert oracle.board.hold(SOL).reason is Verdict.DIVERGED
    assert oracle.now.price_e6 == 100 * DOLLAR
    assert oracle.publish(97).verdict is Verdict.OK
    assert oracle.board.hold(SOL) is None


def test_the_chain_coming_to_differ_holds_it_as_well(oracle):
    oracle.second(100 * DOLLAR)
    assert oracle.publish(100).verdict is Verdict.OK
    assert oracle.publish(105).verdict is Verdict.DIVERGED
    oracle.second(105 * DOLLAR)
    assert oracle.verdict is Verdict.OK


@pytest.mark.parametrize(("age_s", "verdict"), [(60, Verdict.DIVERGED), (61, Verdict.OK)])
async def test_only_a_fresh_word_of_the_second_source_holds(oracle, age_s, verdict):
    oracle.publish(100)
    oracle.second(50 * DOLLAR)
    await oracle.clock.advance(age_s)
    assert oracle.publish(100).verdict is verdict
    assert (oracle.board.opinion(SOL) is None) is (verdict is Verdict.OK)


async def test_a_hold_by_a_source_that_fell_silent_ends_with_time_alone(oracle):
    oracle.second(50 * DOLLAR)
    await oracle.clock.advance(30)
    oracle.publish(100)
    assert oracle.verdict is Verdict.DIVERGED
    await oracle.clock.advance(31)
    assert oracle.verdict is Verdict.OK


async def test_an_old_price_is_stale_whatever_the_second_source_says(oracle):
    oracle.publish(100)
    await oracle.clock.advance(61)
    oracle.second(100 * DOLLAR)
    assert oracle.verdict is Verdict.STALE


def test_the_second_source_alone_is_no_price(oracle):
    oracle.second(100 * DOLLAR)
    assert (oracle.verdict, oracle.now.price_e6) == (Verdict.MISSING, 0)
    assert not oracle.board.second_opinion("DOGE/USD", DOLLAR, 0, NOW_S)


def test_a_jump_is_believed_at_once_when_the_second_source_has_said_the_same(oracle):
    oracle.publish(100)
    oracle.second(60_500_000)
    assert oracle.publish(60).verdict is Verdict.OK


def test_a_jump_that_waits_is_let_go_when_the_second_source_says_the_same(oracle):
    oracle.publish(100)
    assert oracle.publish(60).verdict is Verdict.JUMP
    oracle.second(60_600_001)  # one millionth more than 1 % away
    assert oracle.verdict is Verdict.JUMP
    oracle.second(60_600_000)
    assert oracle.verdict is Verdict.OK
    assert oracle.publish(60).verdict is Verdict.OK  # it is the new base
    assert oracle.publish(100).verdict is Verdict.JUMP


def test_a_jump_that_the_second_source_contradicts_is_not_acted_on_after_two_updates_either(oracle):
    oracle.publish(100)
    oracle.second(100 * DOLLAR)
    verdicts = [oracle.publish(60).verdict for _ in range(4)]
    assert verdicts == [Verdict.JUMP, Verdict.JUMP, Verdict.DIVERGED, Verdict.DIVERGED]


async def test_what_it_said_before_the_last_believed_price_confirms_no_jump(oracle):
    oracle.second(60 * DOLLAR)
    await oracle.clock.advance(5)
    oracle.publish(100)
    assert oracle.publish(60).verdict is Verdict.JUMP
    oracle.second(60 * DOLLAR, publish_time_s=NOW_S + 4)
    assert oracle.verdict is Verdict.JUMP
    oracle.second(60 * DOLLAR, publish_time_s=NOW_S + 5)
    assert oracle.verdict is Verdict.OK


async def test_an_old_word_confirms_no_jump(oracle):
    oracle.publish(100)
    oracle.second(60 * DOLLAR)
    await oracle.clock.advance(61)
    assert oracle.publish(60).verdict is Verdict.JUMP
    assert oracle.second(60 * DOLLAR, publish_time_s=NOW_S)  # nor when it is said once more
    assert oracle.verdict is Verdict.JUMP


def test_a_confirmed_jump_stays_confirmed_when_its_message_is_posted_again(oracle):
    oracle.publish(100)
    oracle.publish(60)
    oracle.second(60 * DOLLAR)
    assert oracle.publish(60, ema_price=oracle.update.ema_price).verdict is Verdict.OK


def test_it_can_confirm_no_price_that_is_wide_invalid_or_missing(oracle):
    oracle.publish(100)
    for changes in ({"conf": 10**9}, {"price": -1}):
        spoiled = oracle.publish(60, **changes).verdict
        oracle.second(60 * DOLLAR)
        assert oracle.verdict is spoiled is not Verdict.OK


@pytest.mark.parametrize(
    ("opinion", "reason"),
    [
        ({"price_e6": 0}, "price is not positive"),
        ({"price_e6": -DOLLAR}, "price is not positive"),
        ({"price_e6": 50 * DOLLAR, "conf_e6": -1}, "price is not positive"),
        ({"price_e6": 50 * DOLLAR, "conf_e6": 500_001}, "wide confidence"),
        ({"price_e6": 50 * DOLLAR, "publish_time_s": NOW_S + 61}, "published in the future"),
        ({"price_e6": 50 * DOLLAR, "publish_time_s": 2**63 - 1}, "published in the future"),
    ],
)
def test_what_is_no_opinion_holds_nothing_confirms_nothing_and_is_counted(oracle, opinion, reason):
    oracle.publish(100)
    assert not oracle.second(**opinion)
    assert oracle.verdict is Verdict.OK
    assert oracle.publish(50).verdict is Verdict.JUMP
    assert oracle.board.refused == {f"{SOL}: second source: {reason}": 1}


def test_a_time_from_the_future_does_not_shut_out_its_next_honest_word(oracle):
    oracle.publish(100)
    oracle.second(100 * DOLLAR, publish_time_s=NOW_S + 10_000)
    assert oracle.second(97 * DOLLAR)
    assert oracle.verdict is Verdict.DIVERGED


async def test_its_older_words_change_nothing(oracle):
    await oracle.clock.advance(10)
    oracle.publish(100)
    oracle.second(100 * DOLLAR)
    assert not oracle.second(50 * DOLLAR, publish_time_s=NOW_S + 9)
    assert oracle.verdict is Verdict.OK


def test_a_word_that_has_become_unsure_takes_the_last_one_back(oracle):
    oracle.publish(100)
    oracle.second(97 * DOLLAR)
    oracle.second(97 * DOLLAR, conf_e6=5 * DOLLAR)
    assert oracle.verdict is Verdict.OK


def test_a_hold_is_of_its_symbol_alone(oracle):
    oracle.publish(100)
    oracle.board.second_opinion("BTC/USD", 10**12, 0, NOW_S)
    assert oracle.verdict is Verdict.OK


def test_a_message_that_is_posted_again_confirms_no_jump(oracle):
    oracle.publish(100)
    oracle.publish(60)
    message = oracle.update
    for slot in range(5):
        oracle.publish(
            60, **{name: getattr(message, name) for name in ("ema_price",)}, posted_slot=900 + slot
        )
        assert oracle.verdict is Verdict.JUMP
    assert oracle.again(b"").verdict is Verdict.INVALID
    assert oracle.publish(60, ema_price=message.ema_price).verdict is Verdict.JUMP
    assert [oracle.publish(60).verdict for _ in range(2)] == [Verdict.JUMP, Verdict.OK]
