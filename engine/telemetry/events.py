"""The event log that operators watch: bounded, numbered, and mirrored to the structured log.

A burst of liquidations is told in hundreds of lines at once. The log on stderr costs more time than deciding,
so it is written in small slices beside the work; only danger is written at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeVar

import structlog

from engine.clock import Clock

log = structlog.get_logger("engine")

CAPACITY = 500
WAITING_LINES = 20_000
SLICE_LINES = 20
PAUSE_S = 0.01


class Level(StrEnum):
    """The four meanings that a line can have."""

    INFO = "info"
    ATTENTION = "attention"
    DANGER = "danger"
    OURS = "ours"


T = TypeVar("T")


class Event:
    """One line; `seq` never repeats within a process. Its text is made when somebody reads it."""

    __slots__ = ("_text", "at_ns", "level", "seq")

    def __init__(self, seq: int, at_ns: int, level: Level, text: str | Callable[[], str]) -> None:
        self.seq = seq
        self.at_ns = at_ns
        self.level = level
        self._text = text

    @property
    def text(self) -> str:
        """The line."""
        if not isinstance(self._text, str):
            self._text = self._text()
        return self._text


@dataclass(slots=True)
class _Burst:
    """Many lines of one moment that are to be written."""

    events: Iterator[Event]
    left: int


class EventLog:
    """The last 500 events, oldest first; at most `waiting_lines` wait for being written."""

    def __init__(self, clock: Clock, waiting_lines: int = WAITING_LINES) -> None:
        self._clock = clock
        self._waiting_lines = waiting_lines
        self._events: deque[Event] = deque(maxlen=CAPACITY)
        self._unwritten: deque[_Burst] = deque()
        self._waiting = 0
        self._has_unwritten = asyncio.Event()
        self._seq = 0
        self.lost_lines = 0  # never written to the structured log, because too many waited

    def add(self, level: Level, text: str | Callable[[], str]) -> None:
        """Append a line; the structured log follows. One that has to be made is made when it is read."""
        self._seq += 1
        event = Event(self._seq, self._clock.now_ns(), level, text)
        self._events.append(event)
        if level is Level.DANGER:
            log.error(event.text, seq=event.seq)
            return
        self._let_wait(_Burst(iter((event,)), 1))

    def add_each(self, level: Level, items: Sequence[T], render: Callable[[T], str]) -> None:
        """Append a line for each item. A text is made when it is read, so a burst costs next to nothing."""
        if not items:
            return  # a burst of nothing would stand in the way of what comes behind it
        first, at_ns = self._seq + 1, self._clock.now_ns()
        self._seq += len(items)

        def event(index: int) -> Event:
            return Event(first + index, at_ns, level, partial(render, items[index]))

        self._events.extend(map(event, range(max(0, len(items) - CAPACITY), len(items))))
        self._let_wait(_Burst(map(event, range(len(items))), len(items)))

    def latest(self, limit: int) -> list[Event]:
        """The last `limit` events, oldest first."""
        return list(self._events)[-limit:]

    async def run(self) -> None:
        """Write the structured log in slices; ends only by cancellation."""
        while True:
            await self._has_unwritten.wait()
            self._write(SLICE_LINES)
            await self._clock.sleep(PAUSE_S)

    def flush(self) -> None:
        """Write everything that waits: at the end of the process."""
        self._write(self._waiting)

    def _let_wait(self, burst: _Burst) -> None:
        """What is above the bound is lost, the oldest first."""
        self._unwritten.append(burst)
        self._waiting += burst.left
        while self._waiting > self._waiting_lines:
            self._next()
            self.lost_lines += 1
        self._has_unwritten.set()

    def _next(self) -> Event:
        """Take the oldest of those that wait."""
        burst = self._unwritten[0]
        event = next(burst.events)
        burst.left -= 1
        self._waiting -= 1
        if not burst.left:
            self._unwritten.popleft()
        return event

    def _write(self, lines: int) -> None:
        for _ in range(min(lines, self._waiting)):
            event = self._next()
            write = log.warning if event.level is Level.ATTENTION else log.info
            write(event.text, seq=event.seq)
        if not self._waiting:
            self._has_unwritten.clear()
