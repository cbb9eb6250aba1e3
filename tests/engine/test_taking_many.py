"""Many at once: who crossed with one price, or changed in one batch, is queued as if each came alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random

import msgspec
import pytest
from solders.pubkey import Pubkey

from engine.book.book import Crosser
from engine.chain.frames import AccountNews
from engine.domain import Price, Verdict
from engine.liquidation.queue import LiquidationQueue, Stage

PRICE = Price("BTC/USD", 58_000 * 10**6, 0, 0, -6, 1, 1, Verdict.OK)
LATER = Price("BTC/USD", 57_000 * 10**6, 0, 0, -6, 2, 2, Verdict.OK)


def crosser(rng: Random, address: Pubkey | None = None) -> Crosser:
    """One of few healths and values, so that many are equal."""
    value = rng.choice((1, 2, 3)) * 10**15
    equity = value * rng.randrange(-20, 20) // 10_000
    own = Pubkey.from_bytes(rng.randbytes(32)) if address is None else address
    return Crosser(own, Pubkey.from_bytes(rng.randbytes(32)), 10**6, equity, value, 250, equity / value * 40)


def ids(count: int) -> list[str]:
    return [f"id{number}" for number in range(count)]


def rank(one: Crosser) -> tuple[float, int]:
    return one.factor, -one.value_e12


async def drained(queue: LiquidationQueue) -> list[Pubkey]:
    waiting = sum(entry.stage is Stage.QUEUED for entry in queue)
    async with asyncio.timeout(20):
        return [(await queue.take()).address for _ in range(waiting)]


@pytest.mark.parametrize("count", [1, 7, 500, 3_000])
async def test_many_that_cross_at_once_come_out_lowest_health_first_then_highest_value_then_as_they_came(
    count,
):
    rng, queue = Random(count), LiquidationQueue(10_000)
    first, second = ([crosser(rng) for _ in range(count)] for _ in range(2))
    assert queue.offer_many(first, PRICE, ids(count), 7) == first
    assert queue.offer_many(second, PRICE, ids(count), 8) == second
    expected = sorted([*first, *second], key=rank)
    assert await drained(queue) == [each.address for each in expected]
    assert queue.refused == 0


async def test_when_not_all_fit_the_worst_are_taken_and_the_others_counted():
    rng, queue = Random(3), LiquidationQueue(100)
    crossers = [crosser(rng) for _ in range(250)]
    taken = queue.offer_many(crossers, PRICE, ids(250), 7)
    assert [rank(each) for each in taken] == [rank(each) for each in sorted(crossers, key=rank)[:100]]
    assert (len(queue), queue.refused) == (100, 150)
    assert queue.offer_many([crosser(rng)], PRICE, ids(1), 8) == []
    assert (len(queue), queue.refused) == (100, 151)
    assert {entry.address for entry in queue} == {each.address for each in taken}
    assert await drained(queue) == [each.address for each in taken]


async def test_everyone_in_the_queue_carries_what_it_was_found_by():
    rng, queue = Random(4), LiquidationQueue(100)
    crossers = [crosser(rng) for _ in range(20)]
    queue.offer_many(crossers, PRICE, ids(20), 77)
    for each, liquidation_id in zip(crossers, ids(20), strict=True):
        entry = queue.get(each.address)
        assert entry is not None
        assert (entry.owner, entry.symbol, entry.liquidation_id) == (each.owner, "BTC/USD", liquidation_id)
        assert (entry.health_factor, entry.value_e6) == (each.factor, each.value_e12 // 10**6)
        assert (entry.detected_at_ns, entry.free_at_ns, entry.stage) == (77, 77, Stage.QUEUED)


async def test_at_a_new_price_each_goes_to_its_new_place_and_is_in_line_once():
    rng, queue = Random(5), LiquidationQueue(10_000)
    crossers = [crosser(rng) for _ in range(1_000)]
    queue.offer_many(crossers, PRICE, ids(1_000), 7)
    now = {each.address: each for each in crossers}
    for moved_count in (1_000, 3, 400, 1_000, 1):
        moved = [crosser(rng, each.address) for each in rng.sample(crossers, moved_count)]
        entries = [queue.get(each.address) for each in moved]
        queue.move_many([(entry, each) for entry, each in zip(entries, moved, strict=True) if entry], LATER)
        now.update({each.address: each for each in moved})
    order = await drained(queue)
    assert len(order) == len(set(order)) == 1_000
    assert [rank(now[address]) for address in order] == sorted(map(rank, now.values()))


def news_of(rig, positions) -> list[AccountNews]:
    accounts = [rig.ledger.account(each.address) for each in positions]
    return [
        AccountNews(each.address, bytes(account.data), account.owner, rig.ledger.slot, account.lamports)
        for each, account in zip(positions, accounts, strict=True)
    ]


async def test_a_batch_of_changed_accounts_queues_those_that_are_liquidatable_and_nobody_else(rig):
    rig.keep_prices_fresh()
    near = [rig.open() for _ in range(12)]
    foreign = rig.open(symbol="ETH/USD", entry_price_e6=3_000_000_000)
    fallen = near[::3]
    for position in fallen:
        rig.write(replace(position, collateral_e6=10**6))
    rig.parts.ingest.on_accounts(news_of(rig, [*near, foreign]))
    assert {entry.address for entry in rig.parts.queue} == {each.address for each in fallen}
    assert rig.parts.tally.liquidatable_seen == len(fallen)


async def test_a_batch_queues_nobody_while_the_engine_does_not_decide_or_the_price_may_not_be_acted_on(rig):
    near = [rig.open() for _ in range(12)]
    for position in near:
        rig.write(replace(position, collateral_e6=10**6))
    detector, holdings = rig.parts.detector, rig.parts.holdings
    rig.price("BTC/USD", 60_000, conf=10**12)
    rig.parts.ingest.on_accounts(news_of(rig, near))
    assert len(rig.parts.queue) == 0
    detector.enabled = False
    rig.price("BTC/USD", 60_000)
    detector.look_at_many([each.address for each in near])
    assert len(rig.parts.queue) == 0
    detector.enabled = True
    detector.look_at_many([each.address for each in near if each.address in holdings.book])
    assert len(rig.parts.queue) == len(near)


async def test_of_a_few_changes_each_is_looked_at_as_it_was_told_last(rig):
    rig.keep_prices_fresh()
    fallen, recovered, closed = (rig.open() for _ in range(3))
    for position in (fallen, recovered, closed):
        rig.write(replace(position, collateral_e6=10**6))
    news = news_of(rig, [fallen, recovered, closed])
    rig.write(recovered)
    back = news_of(rig, [recovered])
    gone = [msgspec.structs.replace(news[2], data=b"", owner=Pubkey.default())]
    rig.parts.ingest.on_accounts([*news, *back, *gone])
    assert [entry.address for entry in rig.parts.queue] == [fallen.address]
    assert rig.parts.holdings.decidable(closed.address) is None
    rig.parts.ingest.on_accounts([msgspec.structs.replace(news[1], slot=news[1].slot - 1)])
    assert [entry.address for entry in rig.parts.queue] == [fallen.address]
