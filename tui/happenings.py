"""What happened, for the log: the engine's events as far as this console saw them, and the console's own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from engine.api import wire
from tui.state import ConsoleState, Link

CAPACITY = 2_000
ENGINE, CONSOLE = "engine", "console"


class Happening(NamedTuple):
    """One line; `level` is info, attention, danger or ours, `origin` is engine or console."""

    key: str
    at_ns: int
    origin: str
    level: str
    text: str


class Happenings:
    """The newest 2,000 of each origin. Snapshots repeat events: each is kept once, by engine and number."""

    def __init__(self) -> None:
        self._of_engine: deque[Happening] = deque(maxlen=CAPACITY)
        self._of_console: deque[Happening] = deque(maxlen=CAPACITY)
        self._started_at_ns = 0
        self._newest_seq = 0
        self._told = 0
        self.missed = 0  # events that the engine forgot before a snapshot showed them

    def newest_first(self) -> list[Happening]:
        """Everything that is kept."""
        return sorted((*self._of_engine, *self._of_console), key=lambda each: -each.at_ns)

    def tell(self, level: str, text: str) -> None:
        """Add a line of the console's own."""
        self._told += 1
        self._of_console.append(Happening(f"c{self._told}", time.time_ns(), CONSOLE, level, text))

    def follow(self, before: ConsoleState, after: ConsoleState) -> None:
        """Add what a change of the console's state means, and the events of a new snapshot."""
        if after.snapshot is not None and after.snapshot is not before.snapshot:
            self._hear(after.snapshot)
        if after.link is not before.link:
            self._tell_link(after)
        if after.activity and after.activity != before.activity:
            self.tell("info", after.activity)
        if after.failure and after.failure != before.failure:
            self.tell("danger", after.failure)
        if after.stop_sent_ns and not before.stop_sent_ns:
            self.tell("danger", "emergency stop sent to the engine")
        if bool(after.paused_ns) != bool(before.paused_ns):
            self.tell("info", "display held" if after.paused_ns else "display goes on")

    def _tell_link(self, state: ConsoleState) -> None:
        if state.link is Link.LIVE and state.snapshot is not None:
            engine = state.snapshot.engine
            self.tell("info", f"connected to engine {engine.version}, process {engine.pid}")
        elif state.link is Link.SILENT:
            self.tell("attention", "the engine is connected and sends nothing")
        elif state.link is Link.LOST:
            self.tell("danger", f"the connection to the engine is lost: {state.link_reason}")

    def _hear(self, snapshot: wire.Snapshot) -> None:
        if snapshot.engine.started_at_ns != self._started_at_ns:
            self._started_at_ns, self._newest_seq = snapshot.engine.started_at_ns, 0
        fresh = sorted(
            (event for event in snapshot.events if event.seq > self._newest_seq), key=lambda event: event.seq
        )
        if fresh:
            if self._newest_seq:
                self.missed += fresh[0].seq - self._newest_seq - 1
            self._newest_seq = fresh[-1].seq
            self._of_engine.extend(_happenings(snapshot.engine.started_at_ns, fresh))


def _happenings(started_at_ns: int, events: Iterable[wire.EventRow]) -> Iterable[Happening]:
    for event in events:
        yield Happening(f"e{started_at_ns}.{event.seq}", event.at_ns, ENGINE, event.level, event.text)
