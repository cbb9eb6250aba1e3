"""Whatever comes in whatever order: no sequence makes a price usable that may not be used."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from publisher import Oracle

from engine.domain import Verdict

CENTS = st.sampled_from([1, 5_000, 8_999, 9_000, 9_899, 9_900, 9_901, 10_000, 10_100, 10_101, 11_000, 11_001])
CHAIN = st.tuples(
    st.just("chain"), CENTS, st.sampled_from([0, 10**8, 10**9]), st.sampled_from([0, 0, 0, -30, -61, 59, 61])
)
SECOND = st.tuples(
    st.just("second"), CENTS, st.sampled_from([0, 0, 10**6, 10**7]), st.sampled_from([0, 0, -30, -61, 59, 61])
)
WAIT = st.tuples(st.just("wait"), st.sampled_from([0, 1, 29, 31, 60, 61, 301]), st.just(0), st.just(0))
BROKEN = st.tuples(st.just("broken"), st.just(0), st.just(0), st.just(0))
SEQUENCES = st.lists(st.one_of(CHAIN, CHAIN, SECOND, SECOND, WAIT, BROKEN), max_size=30)


def do(oracle: Oracle, step: tuple[str, int, int, int]) -> Any:
    """One step; chain prices in cents, ages in seconds from now."""
    kind, number, conf, offset_s = step
    if kind == "chain":
        return oracle.publish(price=number * 10**6, conf=conf, publish_time_s=oracle.now_s + offset_s)
    if kind == "second":
        return oracle.second(number * 10**4, conf_e6=conf, publish_time_s=oracle.now_s + offset_s)
    if kind == "wait":
        return asyncio.run(oracle.clock.advance(number))
    return oracle.again(b"broken")


@settings(max_examples=400, deadline=None)
@given(SEQUENCES)
def test_a_usable_price_is_the_chains_fresh_sure_uncontradicted_and_no_unconfirmed_jump(steps):
    oracle = Oracle()
    acted_on: Fraction | None = None  # the last price that was usable
    near = 0  # updates on end that are within 10 % of the one before them, counted from a jump on
    last: Fraction | None = None
    opinions: list[Fraction] = []
    published: set[int] = set()
    for step in steps:
        taken = do(oracle, step)
        kind, cents, conf, _ = step
        published |= {cents * 10**6} if kind == "chain" else set()
        price = oracle.now
        mark = Fraction(price.price_e6, 10**6)
        if (
            kind == "chain"
            and taken is not None
            and taken.slot == oracle.slot
            and conf * 100 <= cents * 10**6
        ):
            here = Fraction(cents, 100)
            if taken.price_e6 == here * 10**6:
                near = near + 1 if last is not None and abs(here - last) * 10 <= last else 0
                last = here
        if kind == "second" and taken:
            opinions.append(Fraction(cents, 100))
        if price.verdict is not Verdict.OK:
            assert oracle.board.hold("SOL/USD").reason is price.verdict
            continue
        assert oracle.board.hold("SOL/USD") is None
        assert price.raw_price in published
        assert abs(oracle.now_s - price.publish_time_s) <= 60
        assert price.conf_e6 * 100 <= price.price_e6
        opinion = oracle.board.opinion("SOL/USD")
        assert opinion is None or abs(opinion.price_e6 - price.price_e6) * 100 <= price.price_e6
        if acted_on is not None and abs(mark - acted_on) * 10 > acted_on:
            confirmed = any(abs(said - mark) * 100 <= mark for said in opinions)
            assert confirmed or near >= 2, "a jump was believed that nothing confirmed"
        acted_on = mark


@settings(max_examples=300, deadline=None)
@given(SEQUENCES)
def test_a_second_source_changes_no_mark_and_lets_go_only_what_it_says_itself(steps):
    with_it, without = Oracle(), Oracle()
    agreed = False
    for step in steps:
        do(with_it, step)
        if step[0] != "second":
            do(without, step)
        checked, alone = with_it.now, without.now
        assert (checked.price_e6, checked.conf_e6) == (alone.price_e6, alone.conf_e6)
        opinion = with_it.board.opinion("SOL/USD")
        agreed = agreed or (
            opinion is not None and abs(opinion.price_e6 - checked.price_e6) * 100 <= checked.price_e6
        )
        if not agreed:  # it may have said anything at all, but never the chain's price
            assert checked.verdict in (alone.verdict, Verdict.DIVERGED)


@settings(max_examples=300, deadline=None)
@given(SEQUENCES)
def test_every_hold_ends_by_itself_with_good_prices_and_an_honest_or_silent_second_source(steps):
    oracle = Oracle()
    for step in steps:
        do(oracle, step)
    asyncio.run(oracle.clock.advance(122))  # whatever a second source said of the future is past by then
    verdicts = [oracle.publish(100).verdict for _ in range(3)]
    assert verdicts[-1] is Verdict.OK
    assert oracle.board.hold("SOL/USD") is None
