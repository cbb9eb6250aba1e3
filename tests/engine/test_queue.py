"""The queue: one entry per position, the worst first, bounded, and nothing that leaves it comes back."""

from __future__ import annotations

import asyncio

import pytest
from simulated import make_position
from solders.pubkey import Pubkey

from engine.domain import Action, Decision, Health, Price, Verdict
from engine.liquidation.queue import LiquidationQueue, Stage

PRICE = Price("BTC/USD", 58_000 * 10**6, 0, 0, -6, 1, 1, Verdict.OK)


def decision(equity: int, value: int = 1000, address: Pubkey | None = None) -> Decision:
    """A full liquidation whose health factor follows equity / value."""
    position = make_position(**({} if address is None else {"address": address}))
    return Decision(
        position, PRICE, Health(equity * 10**6, value * 10**6, 250), Action.FULL, position.size_e6, ""
    )


def offer(queue: LiquidationQueue, *decisions: Decision) -> list[bool]:
    return [queue.offer(each, f"id{number}", 7) for number, each in enumerate(decisions)]


@pytest.fixture
def queue() -> LiquidationQueue:
    return LiquidationQueue(1000)


async def taken(queue: LiquidationQueue, count: int) -> list[Pubkey]:
    async with asyncio.timeout(1):
        return [(await queue.take()).address for _ in range(count)]


async def test_the_lowest_health_comes_first_then_the_highest_value(queue):
    healthy, worst, small, large = decision(20), decision(-5), decision(10, 1000), decision(20, 2000)
    offer(queue, healthy, small, worst, large)
    expected = [each.position.address for each in (worst, large, small, healthy)]
    assert await taken(queue, 4) == expected


async def test_a_position_is_in_it_once_however_often_it_is_offered(queue):
    one = decision(5)
    assert offer(queue, one, one, one) == [True, False, False]
    assert len(queue) == 1
    await taken(queue, 1)
    assert not queue.offer(one, "id", 7)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.take(), 0.01)


async def test_a_worse_health_moves_a_waiting_position_to_its_new_place(queue):
    falling, other = decision(20), decision(10)
    offer(queue, falling, other)
    offer(queue, decision(1, address=falling.position.address))
    assert await taken(queue, 2) == [falling.position.address, other.position.address]


async def test_a_position_whose_liquidation_ended_can_be_offered_again(queue):
    one = decision(5)
    offer(queue, one)
    queue.finish(await queue.take())
    assert one.position.address not in queue
    assert offer(queue, one) == [True]
    assert await taken(queue, 1) == [one.position.address]


async def test_what_is_above_its_capacity_is_refused_counted_and_taken_once_there_is_room():
    queue = LiquidationQueue(2)
    first, second, third = decision(3), decision(2), decision(1)
    assert offer(queue, first, second, third) == [True, True, False]
    assert queue.refused == 1
    queue.finish(await queue.take())
    assert offer(queue, third) == [True]


async def test_clear_drops_what_is_not_signed_and_keeps_what_is(queue):
    decisions = [decision(number) for number in range(4)]
    offer(queue, *decisions)
    sent, deciding, waiting = [await queue.take() for _ in range(3)]
    sent.stage, waiting.stage = Stage.SENT, Stage.WAITING
    assert queue.clear() == 2
    assert {entry.address for entry in queue} == {sent.address, deciding.address}


async def test_an_entry_that_was_cleared_while_it_waited_does_not_come_back(queue):
    one = decision(5)
    offer(queue, one)
    entry = await queue.take()
    entry.stage = Stage.WAITING
    queue.clear()
    queue.requeue(entry)
    assert len(queue) == 0
    offer(queue, one)
    queue.requeue(entry)
    queue.finish(entry)
    assert len(queue) == 1
    assert await queue.take() is not entry


async def test_take_waits_for_an_offer_and_one_offer_wakes_one_taker(queue):
    takers = [asyncio.ensure_future(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    offer(queue, decision(5))
    await asyncio.wait(takers, return_when=asyncio.FIRST_COMPLETED, timeout=1)
    await asyncio.sleep(0)
    assert sum(taker.done() for taker in takers) == 1
    offer(queue, decision(5), decision(6))
    assert len({entry.address for entry in await asyncio.gather(*takers)}) == 3


async def test_a_taker_that_is_cancelled_takes_nothing_with_it(queue):
    taker = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    offer(queue, decision(5))
    taker.cancel()
    await asyncio.wait([taker])
    if not taker.cancelled():
        queue.requeue(taker.result())
    assert len(await taken(queue, 1)) == 1


async def test_positions_that_move_at_every_tick_do_not_let_the_heap_grow(queue):
    addresses = [Pubkey.new_unique() for _ in range(20)]
    for tick in range(500):
        offer(queue, *(decision(tick + number, address=each) for number, each in enumerate(addresses)))
    assert len(queue._heap) <= 4 * 20 + 65
    assert len(await taken(queue, 20)) == 20


class _CountingQueue(LiquidationQueue):
    """Counts how many heap items are looked at."""

    looks = 0

    def _is_in_line(self, item) -> bool:
        self.looks += 1
        return super()._is_in_line(item)


async def test_entries_that_end_without_being_taken_neither_stay_in_the_heap_nor_make_pushes_slow():
    queue, pushes = _CountingQueue(10_000), 5_000
    staying = [decision(1_000 + number) for number in range(50)]
    offer(queue, *staying)
    for number in range(pushes):
        one = decision(number)
        queue.offer(one, "id", 7)
        entry = queue.get(one.position.address)
        assert entry is not None
        queue.finish(entry)
        assert len(queue._heap) <= 4 * len(staying) + 69
    assert queue.looks <= 3 * pushes
    assert await taken(queue, 50) == [each.position.address for each in staying]
