"""Who is asked, when the next one is, and what comes of those that fail: on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from scripted import ELSEWHERE, ScriptedPool
from solders.pubkey import Pubkey

from engine.chain.endpoint import FAILURES_IN_A_ROW, FIRST_PATIENCE_S, LONGEST_PATIENCE_S
from engine.chain.lookout import LOOK_DEADLINE_S, LOOK_S
from engine.chain.port import Level, RpcFailure

ADDRESS = Pubkey.new_unique()
ACCOUNTS = "getMultipleAccounts"
SILENCE_S = 3_600.0


async def read(pool: ScriptedPool) -> float:
    """A hot read; how long it took."""
    return (await pool.finish(pool.pool.accounts([ADDRESS])))[1]


async def test_of_equals_the_first_answers_and_no_other_is_asked(three):
    for _ in range(20):
        await read(three)
    assert [node.asked_for(ACCOUNTS) for node in three.nodes] == [20, 0, 0]


async def test_a_hot_read_asks_the_second_when_the_first_takes_longer_than_its_p95(three):
    first, second, third = three.nodes
    first.delay_s = 0.030
    for _ in range(200):
        await read(three)
    assert second.asked_for(ACCOUNTS) == 0
    first.delay_s = 0.500
    elapsed_s = await read(three)
    assert 0.030 <= elapsed_s <= 0.034
    assert (second.asked_for(ACCOUNTS), third.asked_for(ACCOUNTS)) == (1, 0)
    assert first.cancelled == [ACCOUNTS]


async def test_the_first_good_answer_wins_even_when_it_is_of_the_node_that_was_asked_first(three):
    first, second, _ = three.nodes
    first.delay_s, second.delay_s = FIRST_PATIENCE_S + 0.050, 0.300
    elapsed_s = await read(three)
    assert elapsed_s == pytest.approx(first.delay_s, abs=0.003)
    assert second.cancelled == [ACCOUNTS]


async def test_whatever_is_read_while_the_first_node_is_a_black_hole_is_there_within_a_second(three):
    three.nodes[0].delay_s = SILENCE_S
    assert await read(three) < FIRST_PATIENCE_S + 0.01
    _, elapsed_s = await three.finish(three.pool.block_height(Level.FINALIZED))
    assert LONGEST_PATIENCE_S <= elapsed_s < LONGEST_PATIENCE_S + 0.01 < 1


async def test_a_black_hole_is_not_asked_any_more_when_others_have_overtaken_it_a_few_times(three):
    first = three.nodes[0]
    first.delay_s = SILENCE_S
    assert three.states == ["ok", "ok", "ok"]
    begun_ns = three.clock.monotonic_ns()
    while three.states[0] == "ok":
        await read(three)
    assert (three.clock.monotonic_ns() - begun_ns) / 1e9 < 1
    assert three.states == ["failing", "ok", "ok"]
    asked = first.asked_for(ACCOUNTS)
    assert await read(three) < 0.005
    assert first.asked_for(ACCOUNTS) == asked


async def test_an_idle_pool_finds_out_that_its_first_node_is_silent_by_looking_within_a_second(three):
    three.nodes[0].delay_s = SILENCE_S
    await three.pass_time(LOOK_S + LOOK_DEADLINE_S + 0.05)
    assert three.states == ["failing", "ok", "ok"]
    assert "timeout" in three.whys[0]
    assert await read(three) < 0.005


async def test_a_failure_goes_to_the_next_node_at_once_until_all_have_failed(three):
    for node in three.nodes[:2]:
        node.failure = RpcFailure("node unreachable (ClientConnectorError)")
    assert await read(three) < 0.01
    three.nodes[2].failure = RpcFailure("node unreachable (ServerDisconnectedError)")
    with pytest.raises(RpcFailure, match="node unreachable"):
        await read(three)
    assert [node.asked_for(ACCOUNTS) for node in three.nodes] == [2, 2, 2]


async def test_a_node_that_failed_is_used_again_when_it_answers_and_is_of_the_same_cluster(three):
    first = three.nodes[0]
    first.failure = RpcFailure("node unreachable (ClientConnectorError)")
    await three.pass_time(FAILURES_IN_A_ROW * LOOK_S + 0.2)
    assert three.states[0] == "failing"
    met = first.asked_for("getGenesisHash")
    first.failure = None
    await three.pass_time(LOOK_S + 0.1)
    assert first.asked_for("getGenesisHash") == met + 1
    assert three.states[0] == "ok"


async def test_a_node_that_comes_back_as_another_cluster_is_left_out(three):
    first = three.nodes[0]
    first.failure = RpcFailure("node unreachable (ClientConnectorError)")
    await three.pass_time(FAILURES_IN_A_ROW * LOOK_S + 0.2)
    first.failure, first.genesis = None, ELSEWHERE
    await three.pass_time(LOOK_S + 0.1)
    assert three.states[0] == "foreign"
    assert ELSEWHERE in three.whys[0]
    asked = first.asked_for(ACCOUNTS)
    await read(three)
    assert first.asked_for(ACCOUNTS) == asked
    first.genesis = three.nodes[1].genesis
    await three.pass_time(11)
    assert three.states[0] == "ok"


async def test_a_node_that_asks_to_be_left_alone_is_left_alone_for_exactly_that_time(three):
    first = three.nodes[0]
    first.failure = RpcFailure("node error: HTTP status 429", retry_after_s=7)
    await read(three)
    begun_ns, asked = three.clock.monotonic_ns(), len(first.asked)
    first.failure = None
    assert three.states == ["resting", "ok", "ok"]
    while (three.clock.monotonic_ns() - begun_ns) / 1e9 < 6.98:
        await three.pass_time(0.05)
        await read(three)
    assert len(first.asked) == asked
    await three.pass_time(0.05 + LOOK_S)
    assert three.states[0] == "ok"
    await read(three)
    assert first.asked_for(ACCOUNTS) == 2


async def test_a_node_that_answers_half_of_its_calls_is_not_the_first_choice(three):
    first = three.nodes[0]
    first.failing_methods = frozenset({ACCOUNTS})
    first.failure = RpcFailure("node error: HTTP status 503")
    for _ in range(3):
        await read(three)
        await three.pass_time(LOOK_S + 0.1)
    assert three.pool.endpoints()[0].error_permille > 100
    assert three.pool.healthy()[0] is three.pool.nodes[1]


async def test_a_refusal_of_the_node_itself_is_no_sign_of_ill_health(three):
    first = three.nodes[0]
    first.failure = RpcFailure("node error: Transaction history is not available", code=-32011)
    first.failing_methods = frozenset({ACCOUNTS})
    for _ in range(10):
        await read(three)
    assert three.states == ["ok", "ok", "ok"]
    assert three.pool.endpoints()[0].error_permille == 0


async def test_a_single_node_that_fails_is_asked_all_the_same_for_there_is_no_other(one):
    one.nodes[0].failure = RpcFailure("node error: HTTP status 503")
    await one.pass_time(2)
    assert one.states == ["failing"]
    assert not one.pool.is_current()
    one.nodes[0].failure = None
    await read(one)
    assert one.states == ["ok"]


async def test_a_reader_that_is_cancelled_leaves_no_call_behind(three):
    for node in three.nodes:
        node.delay_s = SILENCE_S
    reading = asyncio.ensure_future(three.pool.accounts([ADDRESS]))
    await three.pass_time(LONGEST_PATIENCE_S)
    assert [node.asked_for(ACCOUNTS) for node in three.nodes] == [1, 1, 1]
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert [node.cancelled.count(ACCOUNTS) for node in three.nodes] == [1, 1, 1]
