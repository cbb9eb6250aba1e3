"""Looks at the engine's figures once a second: keeps them for metrics, tells of alerts that start or end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

import structlog

from engine.clock import Clock
from engine.figure_reader import FigureReader
from engine.journal.errors import JournalUnavailable
from engine.journal.journal import Journal
from engine.telemetry.alert_rules import RULES
from engine.telemetry.alerts import Alert, AlertBoard, Severity
from engine.telemetry.events import EventLog, Level
from engine.telemetry.figures import Figures

log = structlog.get_logger("alerts")

PERIOD_S = 1.0
KEPT = "alerts"  # the journal's note: what was on, and what was on before
_LEVELS = {Severity.INFO: Level.INFO, Severity.WARNING: Level.ATTENTION, Severity.DANGER: Level.DANGER}


class Notifier(Protocol):
    """Whoever tells people who look at no console; see engine.telemetry.notices."""

    def tell(self, alert: Alert) -> None:
        """Take an alert that started or ended; does not wait."""
        ...


class AlertWatch:
    """The alerts of one engine. Belongs to its loop; `figures` and `counts` may be read in any thread."""

    def __init__(
        self, reader: FigureReader, journal: Journal, events: EventLog, clock: Clock, notifier: Notifier
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._events = events
        self._clock = clock
        self._notifier = notifier
        self._board = AlertBoard(RULES)
        self._changed = asyncio.Event()
        self._restore()
        self.figures: Figures = reader.read()
        self.counts: dict[str, int] = {}  # of those that are on, by severity; replaced, never changed

    @property
    def active(self) -> list[Alert]:
        """Those that are on, the most urgent first."""
        return self._board.active

    @property
    def ended(self) -> list[Alert]:
        """Those that are over, newest first."""
        return self._board.ended

    async def run(self) -> None:
        """Look for ever; ends only by cancellation. A disk that hangs delays no look."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._look_on())
            both.create_task(self._keep_on())

    async def _look_on(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                # What only watches must never take down what liquidates; the figures' age tells of it.
                log.exception("the engine could not look at itself")
            await self._clock.sleep(PERIOD_S)

    async def _keep_on(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._keep()
            await self._clock.sleep(PERIOD_S)

    def look(self) -> None:
        """Read the figures and apply the rules."""
        self.figures = self._reader.read()
        for alert in self._board.judge(self.figures):
            self._changed.set()
            self._tell(alert)
            self._notifier.tell(alert)
        self.counts = dict(Counter(alert.severity.value for alert in self._board.active))

    def acknowledge(self, number: int, by: str) -> Alert:
        """Note who has seen it. Raises UnknownAlert unless it is on."""
        alert = self._board.acknowledge(number, by, self._clock.now_ns())
        self._changed.set()
        return alert

    def _tell(self, alert: Alert) -> None:
        """In the event log, and so in the console and on stderr."""
        if alert.ended_ns is None:
            self._events.add(_LEVELS[alert.severity], f"ALERT {alert.rule}: {alert.text}")
        else:
            lasted_s = max(0, alert.ended_ns - alert.since_ns) // 10**9
            self._events.add(Level.INFO, f"alert over after {lasted_s} s: {alert.rule}: {alert.text}")

    def _restore(self) -> None:
        kept = self._journal.noted(KEPT)
        if kept is None:
            return
        try:
            self._board.restore(kept, self._clock.now_ns())
        except ValueError as error:
            log.warning("the alerts of before are lost", reason=str(error))

    async def _keep(self) -> None:
        """A journal that refuses is tried again a second later: alerts go on without it."""
        try:
            await self._journal.note(KEPT, self._board.kept())
        except JournalUnavailable as error:
            self._changed.set()
            log.debug("alerts not kept", reason=str(error))
