"""Alerts become few messages, which arrive, or of which it is known that they did not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from figured import START_NS
from simulated import VirtualClock

from engine.telemetry.alerts import Alert, Severity
from engine.telemetry.notices import (
    DANGER_GAP_NS,
    DEADLINE_S,
    HOUR_NS,
    PAUSES_S,
    TOLD_IN_ONE,
    WAITING,
    ChannelFailure,
    Notice,
    NoticeLimits,
    Notices,
    attempt,
    compose,
)


class Recorder:
    """A channel that remembers what it was given; `fails` are the ends of its next deliveries."""

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.fails: list[ChannelFailure] = []
        self.notices: list[Notice] = []
        self.tries = 0
        self.hangs = False

    async def deliver(self, notice: Notice) -> None:
        self.tries += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails.pop(0)
        self.notices.append(notice)


def alert(number: int, severity: Severity = Severity.WARNING, **changes: Any) -> Alert:
    made = Alert(
        number=number,
        rule=f"rule-{number}",
        subject="",
        severity=severity,
        text=f"text {number}",
        since_ns=START_NS,
    )
    return msgspec.structs.replace(made, **changes)


def over(which: Alert, seconds: int = 12) -> Alert:
    return msgspec.structs.replace(which, ended_ns=which.since_ns + seconds * 10**9)


@asynccontextmanager
async def telling(
    *channels: Recorder, least: Severity = Severity.INFO, group_s: int = 5, per_hour: int = 1000
) -> AsyncIterator[tuple[Notices, VirtualClock]]:
    """Notices that run on virtual time."""
    clock = VirtualClock()
    notices = Notices("default on sandbox", channels, NoticeLimits(least, group_s, per_hour), clock)
    running = asyncio.ensure_future(notices.run())
    try:
        yield notices, clock
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_changes_within_some_seconds_is_one_message() -> None:
    channel = Recorder()
    async with telling(channel) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(3)
        notices.tell(alert(2, Severity.DANGER))
        await clock.advance(1.9)
        assert channel.notices == []
        await clock.advance(0.2)
        (notice,) = channel.notices
        assert notice.title == "default on sandbox: rule-2, alerts 2 on"
        assert notice.severity is Severity.DANGER
        assert notice.text.splitlines() == [
            "DANGER rule-2: text 2 (since 2025-10-09 08:53:20 UTC)",
            "WARNING rule-1: text 1 (since 2025-10-09 08:53:20 UTC)",
        ]


async def test_that_it_is_over_is_told_too() -> None:
    channel = Recorder()
    async with telling(channel) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(6)
        notices.tell(over(alert(1)))
        await clock.advance(6)
    assert [notice.title for notice in channel.notices] == [
        "default on sandbox: rule-1, alerts 1 on",
        "default on sandbox: alerts 1 over",
    ]
    assert channel.notices[1].text.startswith("OVER after 12 s, rule-1: text 1")
    assert channel.notices[1].severity is Severity.INFO


async def test_what_came_and_went_before_it_was_told_is_one_line() -> None:
    notice = compose("source", [alert(1), over(alert(1)), alert(2)])
    assert [line.split(":")[0] for line in notice.text.splitlines()] == [
        "WARNING rule-2",
        "OVER after 12 s, rule-1",
    ]
    assert [each.number for each in notice.alerts] == [2, 1]


async def test_what_is_less_urgent_than_the_setting_says_is_not_told() -> None:
    channel = Recorder()
    async with telling(channel, least=Severity.WARNING) as (notices, clock):
        notices.tell(alert(1, Severity.INFO))
        await clock.advance(10)
        assert channel.notices == []
        notices.tell(alert(2, Severity.WARNING))
        notices.tell(alert(3, Severity.DANGER))
        await clock.advance(10)
    assert [each.number for each in channel.notices[0].alerts] == [3, 2]


async def test_a_bad_hour_fills_no_inbox_and_what_waited_is_told_together() -> None:
    channel = Recorder()
    async with telling(channel, per_hour=3) as (notices, clock):
        for number in range(1, 11):
            notices.tell(alert(number))
            await clock.advance(60)
        assert [len(notice.alerts) for notice in channel.notices] == [1, 1, 1]
        await clock.advance(HOUR_NS / 1e9 - 10 * 60 + 10)
        assert [len(notice.alerts) for notice in channel.notices] == [1, 1, 1, 7]


async def test_a_danger_waits_for_that_limit_a_minute_at_most() -> None:
    channel = Recorder()
    async with telling(channel, per_hour=1) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(10)
        notices.tell(alert(2))
        await clock.advance(300)
        notices.tell(alert(3, Severity.DANGER))
        await clock.advance(6)
        assert [[each.number for each in notice.alerts] for notice in channel.notices] == [[1], [3, 2]]
        notices.tell(alert(4, Severity.DANGER))
        await clock.advance(DANGER_GAP_NS / 1e9 - 8)
        assert len(channel.notices) == 2
        await clock.advance(10)
        assert [each.number for each in channel.notices[2].alerts] == [4]


async def test_a_message_that_fails_is_tried_again_and_then_given_up() -> None:
    channel = Recorder()
    channel.fails = [ChannelFailure("away")] * 2
    async with telling(channel, group_s=0) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(0)
        assert (channel.tries, channel.notices) == (1, [])
        await clock.advance(sum(PAUSES_S[:2]))
        assert (channel.tries, len(channel.notices)) == (3, 1)
        channel.fails = [ChannelFailure("away")] * 100
        notices.tell(alert(2))
        await clock.advance(sum(PAUSES_S) + 1)
        assert channel.tries == 3 + len(PAUSES_S) + 1
        channel.fails = []
        notices.tell(alert(3))
        await clock.advance(1)
        assert [each.number for each in channel.notices[-1].alerts] == [3]
        assert notices.counts() == {
            ("recorder", "delivered"): 2,
            ("recorder", "failed"): 1,
            ("recorder", "dropped"): 0,
        }


async def test_a_refusal_that_is_final_is_not_tried_again_and_a_server_gets_the_rest_that_it_asks_for() -> (
    None
):
    channel = Recorder()
    channel.fails = [ChannelFailure("gone", is_final=True)]
    async with telling(channel, group_s=0) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(1000)
        assert (channel.tries, channel.notices) == (1, [])
        channel.fails = [ChannelFailure("slow down", retry_after_s=120)]
        notices.tell(alert(2))
        await clock.advance(119)
        assert (channel.tries, channel.notices) == (2, [])
        await clock.advance(2)
        assert len(channel.notices) == 1


async def test_a_channel_that_hangs_delays_no_other_and_its_backlog_is_bounded() -> None:
    hanging, quick = Recorder("hanging"), Recorder("quick")
    hanging.fails = [ChannelFailure("away", retry_after_s=300)]
    async with telling(hanging, quick, group_s=1) as (notices, clock):
        notices.tell(alert(0))
        await clock.advance(2)
        assert len(quick.notices) == 1
        for number in range(1, WAITING + 31):
            notices.tell(alert(number))
        await clock.advance(2)
        assert len(quick.notices) == 2
        assert hanging.notices == []
        await clock.advance(310)
        first, second = hanging.notices
        assert [each.number for each in first.alerts] == [0]
        assert second.text.splitlines()[-2:] == [
            f"and {WAITING - TOLD_IN_ONE} more: see `liquidation-engine alert list`",
            "30 earlier changes are not told: there were too many",
        ]
        assert notices.counts()["hanging", "dropped"] == 30


async def test_an_attempt_has_a_deadline(monkeypatch: Any) -> None:
    monkeypatch.setattr("engine.telemetry.notices.DEADLINE_S", 0.01)
    channel = Recorder()
    channel.hangs = True
    failure = await attempt(channel, compose("source", [alert(1)]))
    assert failure is not None
    assert "no answer within" in str(failure)
    assert DEADLINE_S > 1


class Broken(Recorder):
    """A channel with a fault of its own."""

    async def deliver(self, notice: Notice) -> None:
        raise KeyError("https://hooks.example.com/SECRET")


async def test_a_channel_with_a_fault_takes_nothing_else_down_and_its_text_is_not_told() -> None:
    failure = await attempt(Broken(), compose("source", [alert(1)]))
    assert str(failure) == "broke (KeyError)"
    broken, quick = Broken("broken"), Recorder("quick")
    async with telling(broken, quick, group_s=0) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(sum(PAUSES_S) + 1)
        notices.tell(alert(2))
        await clock.advance(1)
        assert [len(notice.alerts) for notice in quick.notices] == [1, 1]
        assert notices.counts()["broken", "failed"] == 1


async def test_channels_that_are_changed_get_what_the_former_of_their_name_were_not_told_of() -> None:
    hanging, gone, new, later = (
        Recorder("1 pager"),
        Recorder("2 mail"),
        Recorder("1 pager"),
        Recorder("3 chat"),
    )
    hanging.hangs = True
    async with telling(hanging, gone) as (notices, clock):
        notices.tell(alert(1))
        await clock.advance(6)
        assert (hanging.tries, len(gone.notices)) == (1, 1)
        notices.tell(alert(2))
        notices.change([new, later], NoticeLimits(Severity.WARNING, 1, 1000))
        await clock.advance(2)
        notices.tell(alert(3, Severity.INFO))
        notices.tell(alert(4))
        await clock.advance(2)
    told = [each.number for notice in new.notices for each in notice.alerts]
    assert sorted(told) == [1, 2, 4]
    assert [each.number for notice in later.notices for each in notice.alerts] == [4]
    assert len(gone.notices) == 1
    assert notices.counts()["1 pager", "delivered"] == len(new.notices)


async def test_with_no_channel_nothing_waits() -> None:
    async with telling() as (notices, clock):
        for number in range(10_000):
            notices.tell(alert(number))
        await clock.advance(10)
        assert notices.counts() == {}
