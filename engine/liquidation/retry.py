"""What follows an attempt that did not liquidate: another one after a pause, the end, or a failure."""

from __future__ import annotations

import asyncio

from solders.signature import Signature

from engine.clock import Clock
from engine.domain import OutcomeClass
from engine.journal.records import FailedAttempt
from engine.liquidation.failures import Failures
from engine.liquidation.funds import Funds
from engine.liquidation.queue import Entry, LiquidationQueue, Stage
from engine.protocol.compute import MAX_COMPUTE_UNITS
from engine.telemetry.events import EventLog, Level
from engine.telemetry.tally import Tally


class Retries:
    """Exponential backoff: before attempt n + 1 it waits base * 2^(n - 1), until the attempts are used up."""

    def __init__(
        self,
        *,
        queue: LiquidationQueue,
        failures: Failures,
        funds: Funds,
        events: EventLog,
        tally: Tally,
        clock: Clock,
        attempts: int,
        base_ms: int,
    ) -> None:
        self._queue = queue
        self._failures = failures
        self._funds = funds
        self._events = events
        self._tally = tally
        self._clock = clock
        self._attempts = attempts
        self._base_ms = base_ms
        self._pauses: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many entries are in their pause."""
        return len(self._pauses)

    async def dropped(self, entry: Entry, reason: str) -> None:
        """The fresh look found nothing to do."""
        self._queue.finish(entry)
        await self._failures.resolve_position(entry.address)
        self._events.add(Level.INFO, f"dropped {short(entry)}  {reason}")

    async def unsigned(self, entry: Entry, outcome: OutcomeClass, message: str) -> None:
        """An attempt ended before anything was signed."""
        await self.again(entry, outcome, message)

    async def again(
        self,
        entry: Entry,
        outcome: OutcomeClass,
        message: str,
        signature: Signature | None = None,
        *,
        is_hopeless: bool = False,
    ) -> None:
        """Pause and try again; give up when the attempts are used up, or no other can go better."""
        attempted = FailedAttempt(entry.attempt, self._clock.now_ns(), outcome, message, signature)
        entry.history = (*entry.history, attempted)
        if outcome is OutcomeClass.INSUFFICIENT_FUNDS and signature is not None:
            self._funds.pause(entry.fee_lamports)
        if outcome is OutcomeClass.EXCEEDED_CUS:
            entry.compute_unit_limit = min(2 * entry.compute_unit_limit, MAX_COMPUTE_UNITS)
        if is_hopeless or entry.attempt >= self._attempts:
            await self._give_up(entry, outcome, message)
            return
        pause_s = self._base_ms * 2 ** (entry.attempt - 1) / 1000
        entry.attempt += 1
        entry.stage = Stage.WAITING
        self._events.add(
            Level.ATTENTION, f"attempt {entry.attempt} of {short(entry)} in {pause_s:.1f} s  {message}"
        )
        pause = asyncio.create_task(self._requeue_after(entry, pause_s))
        self._pauses.add(pause)
        pause.add_done_callback(self._pauses.discard)

    async def _requeue_after(self, entry: Entry, pause_s: float) -> None:
        await self._clock.sleep(pause_s)
        self._queue.requeue(entry)

    async def _give_up(self, entry: Entry, outcome: OutcomeClass, message: str) -> None:
        self._queue.finish(entry)
        self._tally.add_failed(outcome)
        await self._failures.add(entry, outcome, message)
        self._events.add(
            Level.DANGER, f"ERROR liquidation failed {short(entry)}  {message}  {entry.attempt} attempts"
        )


def short(entry: Entry) -> str:
    """A position as an event line names it: address, symbol."""
    text = str(entry.address)
    return f"{text[:4]}…{text[-4:]} {entry.symbol}"
