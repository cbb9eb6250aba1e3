"""What the pool does about slow, busy and limited nodes, over real sockets and in real time."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from liar import ADDRESS, Cluster, Node, cluster
from solders.pubkey import Pubkey

from engine.chain.budget import RESERVE_SHARE

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
