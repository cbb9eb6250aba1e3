"""The cluster's time: opens slot after slot by the host's clock, and has the leader work in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn

import structlog

from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger

log = structlog.get_logger("cluster")

LONGEST_WAIT_MS = 50.0
WORKS_PER_SLOT = 8
# A slot this much of its length late is worth telling; more often than so many seconds is not.
_LATE_SHARE = 0.5
_TELL_EVERY_S = 10.0


class SlotClock:
    """Drives one ledger. Start it once; `wait` returns when it is stopped.

    With `work_between_slots` False, transactions run only right before their slot closes. `late_slots` counts
    those that began more than half a slot behind their time, `worst_lateness_ms` is the most of it.
    """

    def __init__(self, leader: Leader, slot_ms: float, on_slot: Sequence[Callable[[Ledger], None]]) -> None:
        self._leader = leader
        self._slot_ms = slot_ms
        self._on_slot = on_slot
        self._task: asyncio.Task[NoReturn] | None = None
        self._told_at_s = float("-inf")
        self.work_between_slots = True
        self.slots = 0
        self.late_slots = 0
        self.worst_lateness_ms = 0.0

    def start(self) -> None:
        """Let slots advance from now on."""
        self._task = asyncio.create_task(self._run(), name="slots")

    async def wait(self) -> None:
        """Return when it is stopped; raises what an `on_slot` callback raised, which stops the slots."""
        if self._task is not None:
            try:
                await asyncio.shield(self._task)
            except asyncio.CancelledError:
                if not self._task.cancelled():
                    raise

    async def stop(self) -> None:
        """Open no further slot."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        due_s = planned_s = loop.time()
        try:
            while True:
                self._note_lateness(loop.time(), planned_s)
                self._next_slot()
                planned_s = due_s + self._slot_ms / 1000
                # A host that was suspended does not get its missed slots all at once.
                due_s = max(planned_s, loop.time())
                await self._work_until(due_s)
        except Exception:
            self._leader.ledger.halted = True
            log.exception("slots have stopped", slot=self._leader.ledger.slot)
            raise

    def _next_slot(self) -> None:
        ledger = self._leader.ledger
        self._leader.work()
        ledger.advance_slot()
        self.slots += 1
        for callback in self._on_slot:
            callback(ledger)

    async def _work_until(self, due_s: float) -> None:
        """Wait for a moment, and have the leader work at most so often until then."""
        loop = asyncio.get_running_loop()
        every_s = min(LONGEST_WAIT_MS, self._slot_ms / WORKS_PER_SLOT) / 1000
        # The loop comes round at least once, however late the slot is.
        await asyncio.sleep(min(every_s, max(0.0, due_s - loop.time())))
        while (left_s := due_s - loop.time()) > 0:
            if self._leader.pending and self.work_between_slots:
                self._leader.work()
            await asyncio.sleep(min(every_s, left_s))

    def _note_lateness(self, now_s: float, planned_s: float) -> None:
        lateness_ms = (now_s - planned_s) * 1000
        self.worst_lateness_ms = max(self.worst_lateness_ms, lateness_ms)
        if lateness_ms <= self._slot_ms * _LATE_SHARE:
            return
        self.late_slots += 1
        if now_s - self._told_at_s >= _TELL_EVERY_S:
            self._told_at_s = now_s
            log.warning(
                "slots lag behind their time: the host is too slow for this load",
                late_slots=self.late_slots,
                of=self.slots,
                lateness_ms=round(lateness_ms),
            )
