"""Which cluster is meant: endpoints of another one are left out, or refused when there are no others."""

from __future__ import annotations

import pytest
from scripted import ELSEWHERE, GENESIS, scripted_pool

from engine.chain.endpoint import names_of
from engine.chain.port import RpcFailure
from engine.errors import WrongCluster

GONE = RpcFailure("node unreachable (ClientConnectorError)")


async def test_the_first_node_says_which_cluster_is_meant_and_others_of_another_are_left_out():
    async with scripted_pool() as pool:
        pool.nodes[1].genesis = ELSEWHERE
        assert await pool.meet() == GENESIS
        assert pool.states == ["ok", "foreign", "ok"]
        assert f"its genesis hash is {ELSEWHERE}" in pool.whys[1]
        assert len(pool.pool.healthy()) == 2


async def test_with_the_genesis_hash_set_a_first_node_of_another_cluster_is_left_out():
    async with scripted_pool(genesis_hash=GENESIS) as pool:
        pool.nodes[0].genesis = ELSEWHERE
        assert await pool.meet() == GENESIS
        assert pool.states == ["foreign", "ok", "ok"]


async def test_when_all_are_of_another_cluster_the_start_is_refused_and_each_is_named():
    async with scripted_pool(2, genesis_hash=GENESIS) as pool:
        for node in pool.nodes:
            node.genesis = ELSEWHERE
        with pytest.raises(WrongCluster) as refusal:
            await pool.meet()
        assert refusal.value.exit_code == 2
        assert "node0.example" in str(refusal.value) and "node1.example" in str(refusal.value)
        assert ELSEWHERE in str(refusal.value)
        assert "key-0" not in str(refusal.value)
        assert "\n" not in str(refusal.value)


async def test_when_the_first_is_silent_and_the_others_disagree_nobody_guesses():
    async with scripted_pool() as pool:
        pool.nodes[0].failure = GONE
        pool.nodes[2].genesis = ELSEWHERE
        with pytest.raises(WrongCluster, match=r"different clusters .* set SOLANA_GENESIS_HASH"):
            await pool.meet()


async def test_a_node_that_is_away_at_the_start_is_met_later():
    async with scripted_pool() as pool:
        pool.nodes[0].failure = GONE
        assert await pool.meet() == GENESIS
        assert pool.states == ["unmet", "ok", "ok"]
        pool.nodes[0].failure = None
        await pool.pass_time(1)
        assert pool.states == ["ok", "ok", "ok"]


async def test_when_nobody_answers_there_is_no_cluster():
    async with scripted_pool() as pool:
        for node in pool.nodes:
            node.failure = GONE
        with pytest.raises(RpcFailure, match="node unreachable"):
            await pool.meet()


async def test_a_node_that_changes_its_cluster_while_it_answers_is_found_out_within_a_minute(three):
    three.nodes[0].genesis = ELSEWHERE
    await three.pass_time(61)
    assert three.states == ["foreign", "ok", "ok"]


def test_an_endpoint_is_named_by_host_and_port_and_never_by_what_may_be_a_credential():
    urls = [
        "https://user:secret@rpc.example/path-key?api-key=other",
        "https://rpc.example/second-key",
        "http://[::1]:8899/",
    ]
    assert names_of(urls) == ["rpc.example", "rpc.example #2", "::1:8899"]
