"""The event log that operators watch: bounded, numbered, and mirrored to the structured log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import structlog

from engine.clock import Clock

log = structlog.get_logger("engine")

CAPACITY = 500


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
    """The last 500 events, oldest first. Texts must be clean: they are shown as they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=CAPACITY)
        self._seq = 0

    def add(self, level: Level, text: str) -> None:
        """Append a line and write it to the structured log at the matching level."""
        self._seq += 1
        self._events.append(Event(self._seq, self._clock.now_ns(), level, text))
        if level is Level.DANGER:
            log.error(text)
        elif level is Level.ATTENTION:
            log.warning(text)
        else:
            log.info(text)

    def latest(self, limit: int) -> list[Event]:
        """The last `limit` events, oldest first."""
        return list(self._events)[-limit:]
