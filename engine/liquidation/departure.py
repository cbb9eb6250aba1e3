"""Lets the bytes of a durable intent go, and waits for what the nodes say, so that no worker has to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from engine.chain.port import NoLongerWanted, RpcFailure
from engine.clock import Clock
from engine.control import SendingStopped
from engine.journal.errors import JournalUnavailable, UnknownIntent
from engine.journal.journal import Journal
from engine.liquidation.flight import Flight
from engine.liquidation.tracker import Wire
from engine.telemetry.latency import Latencies

log = structlog.get_logger("executor")

MOST_UNANSWERED = 1024


class Departures:
    """Transactions between being durable and being answered for; the tracker has them all the while."""

    def __init__(
        self,
        *,
        wire: Wire,
        journal: Journal,
        latencies: Latencies,
        clock: Clock,
        still_wanted: Callable[[Flight], bool],
    ) -> None:
        self._wire = wire
        self._journal = journal
        self._latencies = latencies
        self._clock = clock
        self._still_wanted = still_wanted
        self._room = asyncio.Semaphore(MOST_UNANSWERED)

    async def begin(self, flight: Flight, background: asyncio.TaskGroup) -> None:
        """Let the bytes go, if the gate lets them; the nodes' answers are waited for in the background.

        Returns at once, unless too many are unanswered.
        """
        await self._room.acquire()
        if not self._still_wanted(flight):
            # The disk took its time, and the market moved on: the bytes leave if it comes back.
            self._room.release()
            log.warning("not sent, no longer liquidatable", position=str(flight.intent.position))
            return
        raw = flight.intent.raw_transaction
        answer = self._wire.send(
            raw, lambda at_ns: self._on_write(flight, at_ns), partial(self._still_wanted, flight)
        )
        background.create_task(self._see_off(flight, answer)).add_done_callback(
            lambda _: self._room.release()
        )

    async def _see_off(self, flight: Flight, answer: Awaitable[None]) -> None:
        """Hear what became of it, and note when it left; raises nothing."""
        position = str(flight.intent.position)
        try:
            await answer
        except SendingStopped:
            flight.withheld = not flight.may_have_left
            log.warning("kept back by the stop", position=position)
        except NoLongerWanted:
            log.warning("not sent, no longer liquidatable", position=position)
        except RpcFailure as failure:
            log.warning("node refused", position=position, reason=str(failure))
        except Exception:
            # A fault of ours in one send must not end the others; the tracker follows this one to its end.
            log.exception("sending broke", position=position)
        if flight.submitted_at_ns is not None:
            await self._note_submitted(flight, flight.submitted_at_ns)

    def _on_write(self, flight: Flight, at_ns: int) -> None:
        flight.note_write(at_ns, self._clock.monotonic_ns())
        if flight.entry.attempt == 1:
            self._latencies.detect_to_submit.observe_ns(at_ns - flight.entry.free_at_ns)

    async def _note_submitted(self, flight: Flight, at_ns: int) -> None:
        try:
            await self._journal.record_submitted(flight.intent.signature, at_ns)
        except (JournalUnavailable, UnknownIntent) as error:
            log.error("submission time not recorded", reason=str(error))
