"""The event log that operators watch: bounded, numbered, and mirrored to the structured log.

A burst of liquidations is told in hundreds of lines at once. The log on stderr costs more time than deciding,
so it is written in small slices beside the work; only danger is written at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Event:
    """One line; `seq` never repeats within a process."""

    seq: int
    at_ns: int
    level: Level
    text: str


class EventLog:
    """The last 500 events, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=CAPACITY)
        self._unwritten: deque[Event] = deque(maxlen=WAITING_LINES)
        self._has_unwritten = asyncio.Event()
        self._seq = 0
        self.lost_lines = 0  # never written to the structured log, because too many waited

    def add(self, level: Level, text: str) -> None:
        """Append a line; the structured log follows."""
        self._seq += 1
        event = Event(self._seq, self._clock.now_ns(), level, text)
        self._events.append(event)
        if level is Level.DANGER:
            log.error(text, seq=event.seq)
            return
        if len(self._unwritten) == WAITING_LINES:
            self.lost_lines += 1
        self._unwritten.append(event)
        self._has_unwritten.set()

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
        self._write(len(self._unwritten))

    def _write(self, lines: int) -> None:
        for _ in range(min(lines, len(self._unwritten))):
            event = self._unwritten.popleft()
            write = log.warning if event.level is Level.ATTENTION else log.info
            write(event.text, seq=event.seq)
        if not self._unwritten:
            self._has_unwritten.clear()
