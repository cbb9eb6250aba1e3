"""What the last 24 hours came to, restarts and all: asked of the database now and then, for whoever looks."""

from __future__ import annotations

from collections.abc import Callable

from engine.clock import Clock
from engine.store.history import PeriodTotals, totals_of_last_day
from engine.store.pool import OUTAGE, Database

PERIOD_S = 15.0

Listener = Callable[[PeriodTotals, int], None]


class LastDay:
    """Tells its listener the totals and the time (Unix nanoseconds) of which they are.

    While the database is away nothing is told: what was told last grows old, and its age says so.
    """

    def __init__(self, database: Database, identity: str, clock: Clock, listener: Listener) -> None:
        self._database = database
        self._identity = identity
        self._clock = clock
        self._listener = listener

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.ask()
            await self._clock.sleep(PERIOD_S)

    async def ask(self) -> None:
        """Ask once; every call of the database has a deadline."""
        now_ns = self._clock.now_ns()
        try:
            totals = await totals_of_last_day(self._database, self._identity, now_ns)
        except OUTAGE:
            return
        self._listener(totals, now_ns)
