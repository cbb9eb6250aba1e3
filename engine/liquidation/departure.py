"""Lets the bytes of a durable intent go, and waits for what the nodes say, so that no worker has to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from engine.chain.parcel import Parcel
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
        self._ready: list[tuple[Flight, asyncio.Future[Awaitable[None]]]] = []  # in this turn of the loop
        self._room = asyncio.Semaphore(MOST_UNANSWERED)

    async def begin(self, flight: Flight, background: asyncio.TaskGroup) -> None:
        """Let the bytes go, if the gate lets them; the nodes' answers are waited for in the background.

        Returns at once, unless too many are unanswered. Those of one turn of the loop leave together at its
        end.
        """
        await self._room.acquire()
        loop = asyncio.get_running_loop()
        departed: asyncio.Future[Awaitable[None]] = loop.create_future()
        if not self._ready:
            loop.call_soon(self._depart)  # ahead of those who wait for what becomes of it
        self._ready.append((flight, departed))
        seeing_off = background.create_task(self._see_off(flight, departed))
        seeing_off.add_done_callback(lambda _: self._room.release())

    def _depart(self) -> None:
        # One that is done already was cancelled: the engine is ending.
        ready, self._ready = [each for each in self._ready if not each[1].done()], []
        try:
            answers = self._wire.send_together([self._parcel(flight) for flight, _ in ready])
        except Exception as error:
            # A fault of ours: the tracker follows them all to their ends.
            for _, departed in ready:
                departed.set_exception(error)
            return
        for (_, departed), answer in zip(ready, answers, strict=True):
            departed.set_result(answer)

    def _parcel(self, flight: Flight) -> Parcel:
        return Parcel(
            flight.intent.raw_transaction,
            lambda at_ns: self._on_write(flight, at_ns),
            # The disk took its time, and the market moves on: they leave later if it comes back.
            partial(self._still_wanted, flight),
        )

    async def _see_off(self, flight: Flight, departed: asyncio.Future[Awaitable[None]]) -> None:
        """Hear what became of it, and note when it left; raises nothing."""
        position = str(flight.intent.position)
        try:
            await (await departed)
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
