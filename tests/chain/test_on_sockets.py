"""What the pool does about slow, busy and limited nodes, over real sockets and in real time."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from liar import ADDRESS, Cluster, Node, cluster
from solders.pubkey import Pubkey

from engine.chain.budget import RESERVE_SHARE
from engine.chain.port import RpcFailure

ACCOUNTS = "getMultipleAccounts"
# That it takes less than a second is proven on virtual time; here, that no deadline (5 s) was waited for.
WITHIN_S = 3.0
PAIR = [ADDRESS, Pubkey.default()]


class Slow(Node):
    """Keeps one method waiting."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if (await request.json())["method"] == ACCOUNTS:
            self.asked.append(ACCOUNTS)
            await asyncio.sleep(60)
        return await super().handle(request)


class Busy(Node):
    """Asks to be left alone, for a second."""

    told_at_s: float | None = None
    until_s = 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.told_at_s is None and (await request.json())["method"] == ACCOUNTS:
            self.told_at_s = time.monotonic()
            return web.Response(status=429, headers={"Retry-After": "1"})
        if self.told_at_s is not None:
            self.until_s = self.until_s or time.monotonic()
        return await super().handle(request)


def asked(of: Cluster) -> list[int]:
    return [node.asked.count(ACCOUNTS) for node in of.nodes]


async def test_a_hot_read_does_not_wait_for_the_first_node_but_asks_the_second_beside_it():
    async with cluster(3, first=Slow) as of:
        async with asyncio.timeout(WITHIN_S):
            assert len(await of.pool.accounts(PAIR)) == 2
        assert asked(of) == [1, 1, 0]


async def test_a_node_that_is_gone_is_failed_over_at_once():
    async with cluster() as of:
        await of.ends[0]()
        async with asyncio.timeout(WITHIN_S):
            for _ in range(10):
                assert len(await of.pool.accounts(PAIR)) == 2
        assert of.states[1:] == ["ok", "ok"]
        assert "unreachable" in of.pool.nodes[0].last_failure


async def test_a_node_that_says_when_to_come_back_hears_nothing_until_then():
    async with cluster(2, first=Busy) as of:
        busy = of.nodes[0]
        assert isinstance(busy, Busy)
        async with asyncio.timeout(10):
            while not busy.until_s:
                assert len(await of.pool.accounts(PAIR)) == 2
                if not busy.until_s and busy.told_at_s and time.monotonic() - busy.told_at_s < 0.9:
                    assert of.states == ["resting", "ok"]
        assert busy.told_at_s is not None
        assert busy.until_s - busy.told_at_s >= 1


async def test_a_node_gets_no_more_requests_than_its_budget_and_the_rest_goes_to_the_next():
    async with cluster(2, per_s=[20, 100_000]) as of:
        before = len(of.nodes[0].asked)
        begun_s = time.monotonic()
        for _ in range(200):
            await of.pool.balance(ADDRESS)
        took_s = time.monotonic() - begun_s
        given = len(of.nodes[0].asked) - before
        assert 0 < given <= 20 + 20 * took_s + 1
        assert of.nodes[1].asked.count("getBalance") >= 200 - given
        assert of.pool.nodes[0].budget.left <= 20 // RESERVE_SHARE + 20 * took_s


class Holder(Node):
    """Has positions; the answer to getProgramAccounts is written here."""

    count = 60
    busy = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if (await request.json())["method"] != "getProgramAccounts":
            return await super().handle(request)
        self.asked.append("getProgramAccounts")
        if self.busy:
            return web.Response(status=429, headers={"Retry-After": "7"})
        if self.raw is not None:
            return web.Response(body=self.raw, content_type="application/json")
        rows = [
            {"pubkey": str(Pubkey(number.to_bytes(32, "big"))), "account": {"data": ["AQID", "base64"]}}
            for number in range(self.count)
        ]
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": rows})


async def positions(of: Cluster) -> int:
    return sum([len(addresses) async for addresses, _ in of.pool.position_slices(ADDRESS, 0)])


async def test_a_snapshot_that_lacks_most_positions_is_read_again_from_another_node():
    async with cluster(2, first=Holder, others=Holder) as of:
        assert await positions(of) == 60
        of.nodes[0].count = 0
        with pytest.raises(
            RpcFailure, match=r"^127\.0\.0\.1:\d+ tells 0 positions where there were 60: read again"
        ):
            await positions(of)
        assert await positions(of) == 60
        assert [node.asked.count("getProgramAccounts") for node in of.nodes] == [2, 1]


async def test_a_snapshot_that_lacks_most_positions_is_taken_when_it_is_told_twice():
    async with cluster(2, first=Holder, others=Holder) as of:
        assert await positions(of) == 60
        for node in of.nodes:
            node.count = 3
        with pytest.raises(RpcFailure, match="tells 3 positions"):
            await positions(of)
        assert await positions(of) == 3
        assert await positions(of) == 3


async def test_a_snapshot_honours_retry_after_follows_no_redirect_and_repeats_no_raw_words():
    async with cluster(2, first=Holder, others=Holder) as of:
        of.nodes[0].busy = True
        with pytest.raises(RpcFailure, match="429"):
            await positions(of)
        assert of.states == ["resting", "ok"]
        of.nodes[1].raw = b'{"error":{"code":-32000,"message":"\\u001b[2Jno\\u0007 index"}}'
        with pytest.raises(RpcFailure, match=r"^node error: no index$"):
            await positions(of)
