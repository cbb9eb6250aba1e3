"""The emergency stop as those who press it see it: from any thread, answered with what is out.

Nothing here waits for the event loop, the database, the node or the journal. What is told to operators and to
the audit afterwards happens in the engine's own loop, when that comes round.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from engine.actor import Who
from engine.control import Gate, GateState
from engine.liquidation.tracker import Tracker
from engine.telemetry.events import EventLog, Level

BY_ENGINE = "engine"
Audit = Callable[[Who, str], None]  # by whom, and why


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What a stop found at the moment when the gate was shut; `out` transactions cannot be recalled."""

    state: GateState
    was_running: bool
    out: int
    last_valid_block_height: int | None  # none of those that are out can land above it
    landed: int  # not final yet
    with_contribution: bool = False  # one of those that are out gives to the insurance fund

    @property
    def told(self) -> str:
        """How many are out, and until when, in words."""
        height = self.last_valid_block_height
        told = f"{self.out} in flight"
        told += ", one of them a contribution" if self.with_contribution else ""
        told += f", none can land after block {height}" if height else ""
        return told + (f"; {self.landed} landed, not final yet" if self.landed else "")


class EmergencyStop:
    """Shuts the gate, waits for the disk up to its deadline, and says what is out."""

    def __init__(
        self,
        gate: Gate,
        tracker: Tracker,
        events: EventLog,
        audit: Audit,
        contribution_until: Callable[[], int | None],
    ) -> None:
        self._gate = gate
        self._tracker = tracker
        self._events = events
        self._audit = audit
        self._contribution_until = contribution_until
        self._loop: asyncio.AbstractEventLoop | None = None

    def belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the engine's loop: from now on a press may come from any thread."""
        self._loop = loop

    async def press(self, by: Who, reason: str) -> str:
        """Stop, on any event loop. When this returns no more bytes leave."""
        found = self._shut(by, reason)
        await self._gate.persist()
        return self._answer(found, by, reason)

    def press_and_wait(self, by: Who, reason: str) -> str:
        """The same for a thread that has no event loop."""
        found = self._shut(by, reason)
        self._gate.persist_and_wait()
        return self._answer(found, by, reason)

    def trip(self, reason: str) -> bool:
        """The engine stops itself, in its own loop, which does not wait for the disk meanwhile.

        False when it was stopped already: the first reason stays.
        """
        if not self._gate.may_open:
            return False
        found = self._shut(BY_ENGINE, reason)
        self._gate.begin_to_persist()
        self._record(found, BY_ENGINE, reason)
        return True

    def _shut(self, by: Who, reason: str) -> Acknowledgement:
        was_running = self._gate.may_open
        state = self._gate.shut(str(by), reason or "no reason given")
        out = self._tracker.out
        heights = [flight.intent.last_valid_block_height for flight in out]
        contribution = self._contribution_until()
        if contribution is not None:
            heights.append(contribution)
        return Acknowledgement(
            state,
            was_running,
            len(heights),
            max(heights, default=None),
            len(self._tracker.confirmed),
            contribution is not None,
        )

    def _answer(self, found: Acknowledgement, by: Who, reason: str) -> str:
        self._in_engine(lambda: self._record(found, by, reason))
        kept = "" if self._gate.is_persisted else "; NOT YET ON DISK, a restart may forget it"
        verb = "Stopped" if found.was_running else f"Already stopped by {found.state.by}"
        return f"{verb}: {found.told}{kept}"

    def _record(self, found: Acknowledgement, by: Who, reason: str) -> None:
        if found.was_running:
            state = found.state
            self._events.add(Level.DANGER, f"STOPPED by {state.by}: {state.reason}  {found.told}")
        self._audit(by, reason)

    def _in_engine(self, work: Callable[[], None]) -> None:
        if self._loop is None:
            work()
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody is left to tell
            self._loop.call_soon_threadsafe(work)
