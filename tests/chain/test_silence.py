"""Feeds that come and go, and feeds that tell of slots and of no position: what is told of them, and done."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from simulated import VirtualClock

from engine.silence_watch import GRACE_SLOTS, SilenceWatch
from engine.subscription_log import TOLD_REST_NS, SubscriptionLog
from engine.telemetry.events import EventLog

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from rig import Rig


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def events(clock: VirtualClock) -> EventLog:
    return EventLog(clock)


def told(events: EventLog) -> list[str]:
    return [event.text for event in events.latest(100)]


# --- feeds that come and go ---


async def test_a_feed_that_is_lost_every_second_is_told_of_once_a_minute(clock, events):
    subscriptions = SubscriptionLog(events, clock)
    subscriptions.connected()
    for _ in range(125):
        subscriptions.lost("the node ended the connection")
        await clock.advance(0.5)
        subscriptions.connected()
        await clock.advance(0.5)
        subscriptions.look()
    assert told(events) == [
        "subscribed to the node",
        "subscription lost: the node ended the connection",
        "subscribed to the node",
        "subscription lost 59 more times within a minute, and made anew as often: "
        "the node ended the connection",
        "subscription lost 60 more times within a minute, and made anew as often: "
        "the node ended the connection",
    ]
    assert subscriptions.losses == 125


async def test_a_loss_now_and_then_is_told_each_time(clock, events):
    subscriptions = SubscriptionLog(events, clock)
    for number in range(3):
        subscriptions.lost(f"reason {number}")
        subscriptions.connected()
        await clock.advance(TOLD_REST_NS / 1e9)
    assert told(events) == [
        line
        for number in range(3)
        for line in (f"subscription lost: reason {number}", "subscribed to the node")
    ]


# --- feeds that tell of no position ---


@pytest.fixture
def renewed() -> list[str]:
    return []


@pytest.fixture
def silence(renewed: list[str], events: EventLog) -> SilenceWatch:
    return SilenceWatch(renewed.append, events)


def test_a_feed_is_renewed_once_when_a_snapshot_finds_changes_that_it_never_told(silence, renewed):
    silence.on_positions()
    silence.on_snapshot(3, 100)
    silence.on_slot(100 + GRACE_SLOTS)
    assert (renewed, silence.is_deaf) == ([], False)
    silence.on_snapshot(3, 200)
    silence.on_slot(199 + GRACE_SLOTS)
    assert renewed == []
    silence.on_slot(200 + GRACE_SLOTS)
    assert (renewed, silence.is_deaf) == (["it tells nothing of positions (3 changed unheard)"], True)
    silence.on_snapshot(1, 300)
    silence.on_slot(300 + GRACE_SLOTS)
    assert len(renewed) == 1


def test_news_that_were_on_their_way_while_the_snapshot_was_read_are_no_silence(silence, renewed):
    silence.on_snapshot(1, 100)
    silence.on_slot(101)
    silence.on_positions()
    silence.on_slot(101 + GRACE_SLOTS)
    assert (renewed, silence.is_deaf) == ([], False)


def test_where_nothing_changed_a_feed_may_be_silent(silence, renewed):
    for slot in range(0, 1_000, 100):
        silence.on_snapshot(0, slot)
        silence.on_slot(slot + GRACE_SLOTS)
    assert (renewed, silence.is_deaf) == ([], False)


async def test_an_engine_whose_only_feed_tells_no_position_makes_it_anew_and_says_so(tmp_path, monkeypatch):
    rig = Rig(tmp_path)
    rig.boot()
    renewed: list[str] = []
    monkeypatch.setattr(rig.parts.feed, "renew", renewed.append)
    ingest = rig.parts.ingest
    try:
        await rig.start()
        position = rig.open()
        await read_again(rig)
        assert (renewed, ingest.is_deaf, complaints(rig)) == ([], False, 0)
        rig.write(replace(position, collateral_e6=position.collateral_e6 + 1))
        await read_again(rig)
        assert renewed == ["it tells nothing of positions (1 changed unheard)"]
        assert (ingest.is_deaf, complaints(rig)) == (True, 1)
        rig.tell(position.address)
        assert (ingest.is_deaf, complaints(rig)) == (False, 0)
    finally:
        await rig.kill()


async def read_again(rig: Rig) -> None:
    """Everything is read once more, and the slots go on."""
    read = rig.chain.asked.count("positions")
    rig.parts.ingest.on_connected()
    await rig.until(lambda: rig.chain.asked.count("positions") > read)
    await rig.tick(GRACE_SLOTS + 1)


def complaints(rig: Rig) -> int:
    degraded = rig.parts.snapshots.take().engine.degraded
    return sum(line.startswith("the feed tells nothing of positions") for line in degraded)
