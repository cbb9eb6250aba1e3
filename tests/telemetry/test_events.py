"""The event log: numbered, bounded, and no burden in a burst."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import pytest
import structlog
from simulated import VirtualClock

from engine.telemetry.events import (
    CAPACITY,
    PAUSE_S,
    SLICE_LINES,
    WAITING_LINES,
    EventLog,
    Level,
)
from engine.telemetry.logs import configure_logging


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the structured log got."""
    stream = io.StringIO()
    configure_logging("info", stream)
    yield stream
    structlog.reset_defaults()


@pytest.fixture
def events(written: io.StringIO) -> EventLog:
    del written
    return EventLog(VirtualClock())


def test_a_burst_is_a_line_for_each_numbered_on(events: EventLog) -> None:
    events.add(Level.INFO, "before")
    events.add_each(Level.OURS, [7, 8, 9], lambda number: f"line {number}")
    events.add(Level.INFO, "after")
    assert [(each.seq, each.text, each.level) for each in events.latest(10)] == [
        (1, "before", Level.INFO),
        (2, "line 7", Level.OURS),
        (3, "line 8", Level.OURS),
        (4, "line 9", Level.OURS),
        (5, "after", Level.INFO),
    ]


def test_a_single_text_may_be_made_when_it_is_read_but_danger_is_told_at_once(
    events: EventLog, written: io.StringIO
) -> None:
    made: list[str] = []

    def render() -> str:
        made.append("once")
        return "made now"

    events.add(Level.OURS, render)
    assert made == []
    assert [each.text for each in (*events.latest(1), *events.latest(1))] == ["made now"] * 2
    assert made == ["once"]
    events.add(Level.DANGER, lambda: "on fire")
    assert "on fire" in written.getvalue()


def test_a_text_of_a_burst_is_made_when_it_is_read_and_once(events: EventLog) -> None:
    made: list[int] = []

    def render(number: int) -> str:
        made.append(number)
        return str(number)

    events.add_each(Level.OURS, range(10_000), render)
    assert made == []
    assert [each.text for each in events.latest(2)] == ["9998", "9999"]
    assert [each.text for each in events.latest(2)] == ["9998", "9999"]
    assert made == [9_998, 9_999]


def test_of_a_burst_the_last_lines_are_kept_and_the_numbers_count_all(events: EventLog) -> None:
    events.add_each(Level.OURS, range(CAPACITY + 30), str)
    kept = events.latest(10_000)
    assert len(kept) == CAPACITY
    assert (kept[0].seq, kept[0].text) == (31, "30")
    assert (kept[-1].seq, kept[-1].text) == (CAPACITY + 30, str(CAPACITY + 29))


def test_an_empty_burst_is_nothing(events: EventLog) -> None:
    events.add_each(Level.OURS, [], str)
    events.add(Level.INFO, "one")
    assert [each.seq for each in events.latest(5)] == [1]


def test_what_is_told_behind_an_empty_burst_is_written(events: EventLog, written: io.StringIO) -> None:
    events.add_each(Level.OURS, [], str)
    events.add(Level.INFO, "behind it")
    events.flush()
    assert "behind it" in written.getvalue()


def test_more_lines_than_may_wait_are_lost_the_oldest_first_and_counted(
    events: EventLog, written: io.StringIO
) -> None:
    events.add_each(Level.OURS, range(WAITING_LINES - 1), lambda number: f"first {number}")
    assert events.lost_lines == 0
    events.add_each(Level.OURS, range(5), lambda number: f"second {number}")
    assert events.lost_lines == 4
    events.flush()
    lines = written.getvalue().splitlines()
    assert len(lines) == WAITING_LINES
    assert '"first 4"' in lines[0]
    assert '"second 4"' in lines[-1]


def test_danger_is_written_at_once_and_the_rest_is_not(events: EventLog, written: io.StringIO) -> None:
    events.add(Level.ATTENTION, "later")
    events.add(Level.DANGER, "now")
    assert [line.split("event=")[1].split()[0] for line in written.getvalue().splitlines()] == ["now"]


async def test_the_log_is_written_in_slices_between_which_the_engine_goes_on(
    events: EventLog, written: io.StringIO
) -> None:
    clock = events._clock
    assert isinstance(clock, VirtualClock)
    events.add_each(Level.INFO, range(2 * SLICE_LINES + 1), str)
    running = asyncio.ensure_future(events.run())
    try:
        for expected in (SLICE_LINES, 2 * SLICE_LINES, 2 * SLICE_LINES + 1):
            await clock.advance(PAUSE_S / 2)
            assert len(written.getvalue().splitlines()) == expected
            await clock.advance(PAUSE_S / 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
