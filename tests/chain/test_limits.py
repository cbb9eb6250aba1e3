"""How much a node is asked: its budget, and the time for which it asks to be left alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scripted import scripted_pool
from simulated import VirtualClock
from solders.pubkey import Pubkey

from engine.chain.budget import Budget
from engine.chain.port import Level, RpcFailure
from engine.chain.retry_after import DEFAULT_S, LONGEST_S, retry_after_s

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
ADDRESS = Pubkey.new_unique()
ACCOUNTS = "getMultipleAccounts"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("99999999999999999999", LONGEST_S),
        (format_datetime(NOW + timedelta(seconds=42), usegmt=True), 42),
        (format_datetime(NOW - timedelta(seconds=42), usegmt=True), 0),
        ("Sunday, 22-Nov-26 21:00:09 GMT", 9),
        (None, DEFAULT_S),
        ("", DEFAULT_S),
        ("-5", DEFAULT_S),
        ("soon", DEFAULT_S),
        ("1.5", DEFAULT_S),
        ("\u0663", DEFAULT_S),
        ("Sun, 99 Nov 2026 99:00:00 GMT", DEFAULT_S),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_what_cannot_be_read_is_one_second(header, seconds):
    assert retry_after_s(header, NOW.timestamp) == pytest.approx(seconds)


async def test_a_budget_gives_a_seconds_worth_at_once_and_then_exactly_its_rate():
    clock = VirtualClock()
    budget = Budget(10, clock)
    assert [budget.take(keep_reserve=False) for _ in range(11)] == [True] * 10 + [False]
    taken = 0
    for _ in range(3_000):
        await clock.advance(0.001)
        taken += budget.take(keep_reserve=False)
    assert taken == 30
    await clock.advance(100)
    assert budget.left == 10


async def test_a_fifth_of_the_budget_is_kept_for_what_a_liquidation_waits_for():
    clock = VirtualClock()
    budget = Budget(10, clock)
    assert sum(budget.take(keep_reserve=True) for _ in range(20)) == 8
    assert sum(budget.take(keep_reserve=False) for _ in range(20)) == 2
    assert budget.wait_s(keep_reserve=False) == pytest.approx(0.1)
    assert budget.wait_s(keep_reserve=True) == pytest.approx(0.3)


async def test_what_is_sent_counts_but_is_never_held_back():
    clock = VirtualClock()
    budget = Budget(10, clock)
    for _ in range(1_000):
        budget.charge()
    assert budget.left == -10
    await clock.advance(1.1)
    assert budget.take(keep_reserve=False)


async def test_when_the_budget_of_the_first_node_is_spent_the_next_is_asked_and_then_it_is_waited():
    async with scripted_pool(2, requests_per_s=[5, 5]) as pool:
        await pool.meet()
        await pool.pass_time(2)
        for _ in range(8):
            await pool.finish(pool.pool.accounts([ADDRESS]))
        asked = [node.asked_for(ACCOUNTS) for node in pool.nodes]
        assert sum(asked) == 8 and max(asked) <= 5
        _, elapsed_s = await pool.finish(
            asyncio.wait_for(asyncio.gather(*(pool.pool.accounts([ADDRESS]) for _ in range(20))), None)
        )
        assert elapsed_s > 1
        spent = sum(len(node.asked) for node in pool.nodes)
        assert spent <= 2 * 5 * (pool.clock.monotonic_ns() / 1e9 + 1)


async def test_a_read_that_would_wait_longer_than_its_deadline_for_a_request_fails():
    async with scripted_pool(1, requests_per_s=[1], deadline_s=2.0) as pool:
        await pool.meet()
        works = [pool.pool.block_height(Level.PROCESSED) for _ in range(30)]
        results, elapsed_s = await pool.finish(asyncio.gather(*works, return_exceptions=True))
        failures = [each for each in results if isinstance(each, RpcFailure)]
        assert failures and "RPC_REQUESTS_PER_S" in str(failures[0])
        assert elapsed_s < 10
