"""Tells operators in the event log when an RPC endpoint comes to be used, or is not any more, and why."""

from __future__ import annotations

from engine.api.clean import clean
from engine.chain.port import Chain
from engine.clock import Clock
from engine.telemetry.events import EventLog, Level

PERIOD_S = 0.4
LONGEST_LINE = 200


class NodeWatch:
    """One line for each change of an endpoint's state, and one for each contradiction between them."""

    def __init__(self, chain: Chain, events: EventLog, clock: Clock) -> None:
        self._chain = chain
        self._events = events
        self._clock = clock
        self._states: dict[str, str] = {}
        self._disputes: list[str] = []

    async def run(self) -> None:
        """Look for ever; ends only by cancellation."""
        while True:
            self.look()
            await self._clock.sleep(PERIOD_S)

    def look(self) -> None:
        """Compare with the look before."""
        for report in self._chain.endpoints():
            before = self._states.get(report.name, "ok")
            self._states[report.name] = report.state
            if report.state == before:
                continue
            if report.state == "ok":
                self._events.add(Level.INFO, f"rpc {report.name} is used again")
            else:
                line = f"rpc {report.name} is not used, {report.state}: {report.why}"
                self._events.add(Level.ATTENTION, clean(line, LONGEST_LINE))
        disputes = self._chain.disputes()
        for dispute in disputes:
            if dispute not in self._disputes:
                self._events.add(Level.DANGER, clean(f"held, {dispute}", LONGEST_LINE))
        self._disputes = disputes
