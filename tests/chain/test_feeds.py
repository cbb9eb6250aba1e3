"""Live feeds on real sockets: what they tell, what they doubt, whom they leave, and that they come back."""

from __future__ import annotations

import asyncio

import pytest
from solders.pubkey import Pubkey
from tellers import (
    FIRST_NUMBER,
    FUND,
    PRICE,
    account_frame,
    program_frame,
    slot_frame,
    telling_nodes,
)

from engine.chain.feed_connection import QUIET_SLOTS, REGULAR_SLOTS, UNREADABLE_MOST
from engine.chain.subscriptions import PATIENT_DELAYS_S, RECONNECT_DELAYS_S, STEADY_NS

SOMEBODY = Pubkey.from_bytes(b"s" * 32)


# --- what is told ---


async def test_positions_watched_accounts_and_slots_arrive_with_their_slots():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        node, heard = feeds.nodes[0], feeds.heard
        await node.slot(50)
        await node.position(SOMEBODY, 50, b"one")
        await node.watched(FUND, 51, b"two")
        await heard.until(lambda: len(heard.news) == 2)
        assert [(each.address, each.data, each.slot, each.lamports) for each in heard.news] == [
            (SOMEBODY, b"one", 50, 7),
            (FUND, b"two", 51, 7),
        ]
        assert heard.slots == [50]
        assert heard.doubts == heard.lost == []


async def test_what_is_told_before_the_answers_counts_only_where_its_account_is_known():
    async with telling_nodes(1) as feeds:
        node, heard = feeds.nodes[0], feeds.heard
        node.before_answers = [account_frame(FIRST_NUMBER + 3, 9), program_frame(SOMEBODY, 9)]
        await feeds.subscribed(0)
        await node.watched(PRICE, 10)
        await heard.until(lambda: len(heard.news) == 2)
        assert [(each.address, each.slot) for each in heard.news] == [(SOMEBODY, 9), (PRICE, 10)]


async def test_a_notification_of_a_subscription_that_nobody_made_changes_nothing():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        node, heard = feeds.nodes[0], feeds.heard
        await node.say(account_frame(999, 10))
        await node.say('{"jsonrpc":"2.0","id":77,"result":5}')
        await node.slot(10)
        await heard.until(lambda: heard.slots)
        assert heard.news == [] and heard.doubts == [] and heard.lost == []


# --- doubt ---


@pytest.mark.parametrize(("slot", "parent"), [(40, 39), (53, 51)])
async def test_a_slot_that_does_not_follow_casts_doubt(slot, parent):
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        await feeds.nodes[0].slot(50)
        await feeds.nodes[0].slot(slot, parent)
        await feeds.heard.until(lambda: feeds.heard.doubts)
        assert feeds.heard.doubts == [f"slot {slot} on {parent} came after 50"]
        assert feeds.heard.lost == []


async def test_an_unreadable_frame_casts_doubt_and_a_hundred_of_them_end_the_connection():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        for _ in range(UNREADABLE_MOST):
            await feeds.nodes[0].say('{"method":"programNotification","params":7}')
        await feeds.heard.until(lambda: feeds.heard.lost)
        assert len(feeds.heard.doubts) == UNREADABLE_MOST - 1
        assert feeds.heard.lost == ["100 notifications could not be read or believed"]


async def test_positions_that_changed_all_the_time_and_are_quiet_cast_doubt():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        node = feeds.nodes[0]
        for slot in range(100, 100 + REGULAR_SLOTS):
            await node.slot(slot)
            await node.position(SOMEBODY, slot)
            await feeds.heard.until(lambda slot=slot: [each.slot for each in feeds.heard.news][-1:] == [slot])
        last = 99 + REGULAR_SLOTS
        await node.slots(last + 1, last + QUIET_SLOTS - 1)
        await feeds.heard.until(lambda: feeds.heard.slots[-1:] == [last + QUIET_SLOTS - 1])
        assert feeds.heard.doubts == []
        await node.slot(last + QUIET_SLOTS)
        await feeds.heard.until(lambda: feeds.heard.doubts)
        assert feeds.heard.lost == []


async def test_positions_that_change_now_and_then_may_be_quiet():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        node = feeds.nodes[0]
        for slot in range(100, 100 + REGULAR_SLOTS - 1):
            await node.slot(slot)
            await node.position(SOMEBODY, slot)
            await feeds.heard.until(lambda slot=slot: [each.slot for each in feeds.heard.news][-1:] == [slot])
        await node.slots(99 + REGULAR_SLOTS, 200)
        await feeds.heard.until(lambda: feeds.heard.slots[-1:] == [200])
        assert feeds.heard.doubts == []


# --- who is left ---


async def test_a_price_that_changed_all_the_time_and_is_quiet_ends_the_connection():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        node = feeds.nodes[0]
        for slot in range(100, 100 + REGULAR_SLOTS):
            await node.slot(slot)
            await node.watched(PRICE, slot)
            await node.watched(FUND, slot)
            await feeds.heard.until(
                lambda slot=slot: [each.slot for each in feeds.heard.news][-2:] == [slot] * 2
            )
        await node.slots(100 + REGULAR_SLOTS, 100 + REGULAR_SLOTS + QUIET_SLOTS)
        await feeds.heard.until(lambda: feeds.heard.lost)
        assert feeds.heard.lost == [f"it told nothing of price account {PRICE} for {QUIET_SLOTS} slots"]
        await feeds.reconnect(0)
        await feeds.heard.until(lambda: feeds.heard.connected == 2)


async def test_a_slot_that_no_node_can_be_at_ends_the_connection_and_is_never_told():
    async with telling_nodes(1, believes=lambda slot: slot < 1_000) as feeds:
        await feeds.subscribed(0)
        await feeds.nodes[0].slot(999)
        await feeds.nodes[0].slot(2**61, 999)
        await feeds.heard.until(lambda: feeds.heard.lost)
        assert feeds.heard.slots == [999]
        assert feeds.heard.lost == [f"it told slot {2**61}, far beyond all nodes"]


async def test_an_account_of_a_slot_that_cannot_be_is_not_taken_and_its_neighbours_are():
    async with telling_nodes(1, believes=lambda slot: slot < 1_000) as feeds:
        await feeds.subscribed(0)
        node, heard = feeds.nodes[0], feeds.heard
        await node.position(SOMEBODY, 2**61)
        await node.watched(PRICE, 2**61)
        await node.position(FUND, 999)
        await heard.until(lambda: heard.news)
        assert [each.slot for each in heard.news] == [999]
        assert len(heard.doubts) == 2


async def test_a_feed_whose_node_goes_silent_is_left_after_a_second_for_a_node_that_is_free():
    async with telling_nodes(3) as feeds:
        await feeds.subscribed(0, 1)
        await feeds.nodes[0].slot(100)
        await feeds.nodes[1].slot(100)
        await feeds.heard.until(lambda: len(feeds.heard.slots) == 2)
        await feeds.clock.advance(0.9)
        await feeds.nodes[1].slots(101, 102)
        await feeds.heard.until(lambda: feeds.heard.slots[-1] == 102)
        await feeds.nodes[0].slot(102)  # late, and not too late
        await feeds.heard.until(lambda: len(feeds.heard.slots) == 5)
        assert feeds.heard.lost == []
        await feeds.clock.advance(1.0)
        await feeds.nodes[1].slots(103, 104)
        await feeds.heard.until(lambda: feeds.heard.lost)
        assert feeds.heard.lost == ["it told no slot for a second while another feed went on"]
        await feeds.reconnect(2)
        assert {feed.url for feed in feeds.feeds.feeds} == {feeds.nodes[1].url, feeds.nodes[2].url}


async def test_while_every_node_pauses_no_feed_is_left():
    async with telling_nodes(2) as feeds:
        await feeds.subscribed(0, 1)
        await feeds.nodes[0].slot(100)
        await feeds.nodes[1].slot(100)
        await feeds.heard.until(lambda: len(feeds.heard.slots) == 2)
        await feeds.clock.advance(4.0)
        await feeds.nodes[1].slot(101)
        await feeds.nodes[0].slot(101)
        await feeds.heard.until(lambda: len(feeds.heard.slots) == 4)
        assert feeds.heard.lost == []


@pytest.mark.parametrize("kind", ["positions", "price"])
async def test_a_feed_that_is_silent_in_one_kind_only_is_left_for_one_that_is_not(kind):
    async with telling_nodes(3) as feeds:
        await feeds.subscribed(0, 1)
        whole, partial = feeds.nodes[0], feeds.nodes[1]
        for slot in range(100, 112):
            if feeds.heard.lost:
                break
            await whole.slot(slot)
            await (whole.position(SOMEBODY, slot) if kind == "positions" else whole.watched(PRICE, slot))
            await feeds.heard.until(lambda slot=slot: [each.slot for each in feeds.heard.news][-1:] == [slot])
            await partial.slot(slot)
        await feeds.heard.until(lambda: feeds.heard.lost)
        what = "positions" if kind == "positions" else f"account {PRICE}"
        assert feeds.heard.lost == [f"it tells nothing of {what} while another feed does"]
        await feeds.reconnect(2)
        assert whole.url in {feed.url for feed in feeds.feeds.feeds}


# --- coming back ---


async def test_a_connection_that_ends_is_made_anew_and_a_snapshot_is_due_again():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        assert feeds.nodes[0].socket is not None
        await feeds.nodes[0].socket.close()
        await feeds.heard.until(lambda: feeds.heard.lost == ["the node ended the connection"])
        assert feeds.heard.connected == 1
        await feeds.reconnect(0)
        await feeds.heard.until(lambda: feeds.heard.connected == 2)


async def test_a_node_that_refuses_a_subscription_is_tried_again_ever_more_slowly():
    async with telling_nodes(1) as feeds:
        node = feeds.nodes[0]
        node.refuses = frozenset({"programSubscribe"})
        while len(feeds.clock.slept_s) < len(RECONNECT_DELAYS_S) + 1:
            await feeds.clock.advance(0.1)
        assert tuple(feeds.clock.slept_s[: len(RECONNECT_DELAYS_S)]) == RECONNECT_DELAYS_S
        assert feeds.heard.connected == 0
        assert feeds.heard.lost == []


async def test_a_listener_that_breaks_on_news_ends_the_connection_and_not_the_feed():
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)

        def break_once(slot: int) -> None:
            feeds.heard.on_slot = feeds.heard.slots.append
            raise LookupError(slot)

        feeds.heard.on_slot = break_once
        await feeds.nodes[0].say(slot_frame(10, 9))
        await feeds.heard.until(lambda: feeds.heard.lost == ["LookupError"])
        await feeds.reconnect(0)
        await feeds.heard.until(lambda: feeds.heard.connected == 2)


async def close_and_see_the_wait(feeds, number: int, wait_s: float) -> None:
    """The node hangs up as soon as it is subscribed to: how long the feed waits for its next try."""
    node, waits = feeds.nodes[number], len(feeds.clock.slept_s)
    assert node.socket is not None
    await node.socket.close()
    async with asyncio.timeout(30):
        while len(feeds.clock.slept_s) == waits:  # noqa: ASYNC110  # virtual time has no event for it
            await asyncio.sleep(0)
        assert feeds.clock.slept_s[waits:] == [wait_s]
        await feeds.clock.advance(wait_s)
        await node.subscribed.get()
    await feeds.heard.until(lambda: feeds.heard.connected == len(feeds.nodes) + len(feeds.clock.slept_s))


async def test_a_node_that_hangs_up_again_and_again_is_left_alone_ever_longer_while_another_one_serves(
    monkeypatch,
):
    monkeypatch.setattr("engine.chain.subscriptions.SILENCE_DEADLINE_S", 600.0)
    async with telling_nodes(2) as feeds:
        await feeds.subscribed(0, 1)
        for wait_s in (*PATIENT_DELAYS_S, PATIENT_DELAYS_S[-1]):
            await close_and_see_the_wait(feeds, 1, wait_s)
        await feeds.clock.advance(STEADY_NS / 1e9)
        await close_and_see_the_wait(feeds, 1, PATIENT_DELAYS_S[0])
        assert feeds.nodes[0].connections == 1
        await feeds.nodes[0].position(SOMEBODY, 50)
        await feeds.heard.until(lambda: feeds.heard.news)


async def test_the_only_node_is_never_left_alone_for_long(monkeypatch):
    monkeypatch.setattr("engine.chain.subscriptions.SILENCE_DEADLINE_S", 600.0)
    async with telling_nodes(1) as feeds:
        await feeds.subscribed(0)
        for wait_s in (*RECONNECT_DELAYS_S, *RECONNECT_DELAYS_S[-1:] * 4):
            await close_and_see_the_wait(feeds, 0, wait_s)


async def test_feeds_that_are_to_be_renewed_are_made_anew():
    async with telling_nodes(2) as feeds:
        await feeds.subscribed(0, 1)
        feeds.feeds.renew("deaf")
        await feeds.heard.until(lambda: feeds.heard.lost == ["deaf", "deaf"])
        async with asyncio.timeout(30):
            while feeds.heard.connected < 4:
                await feeds.clock.advance(0.1)
