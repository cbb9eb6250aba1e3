"""Writes the intent log in a thread, for whoever stands still meanwhile: there is nothing quicker.

A future would wake the loop when the frame is durable, and a sleeping loop takes as long to wake as half a
sync. So the caller waits in its place, for a few milliseconds at most: a disk that takes longer must not
hold the loop, and one that does so again and again is not waited for like that for a while.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from engine.journal.intent_log import IntentLog

PATIENCE_S = 0.005
OFTEN = 3  # late so many times in a row
REST_S = 5.0

Told = Callable[[OSError | None], None]
"""Hears in the loop's thread that the frame is durable, or why it may not be."""


class PromptWriter:
    """One frame at a time. Methods belong to the event loop's thread."""

    def __init__(self, log: IntentLog) -> None:
        self.log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: tuple[int, bytes] | None = None
        self._told: Told | None = None
        self._error: OSError | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._asked, self._answered = _closed(), _closed()
        self._meeting = threading.Lock()  # of a thread that is ready and a loop that will not wait any longer
        self._is_written = False
        self._waits = False
        self._late_in_a_row = 0
        self._rests_until_s = 0.0
        self._thread = threading.Thread(target=self._serve, name="intents", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a frame is being written, late."""
        return not self._idle.is_set()

    def write(self, start: int, frame: bytes, told: Told) -> None:
        """Make a frame durable and tell, before this returns if the disk is quick; not while `is_busy`."""
        self._loop = asyncio.get_running_loop()
        self._idle.clear()
        self._work, self._told, self._error = (start, frame), told, None
        self._is_written = False
        self._waits = time.monotonic() >= self._rests_until_s
        self._asked.release()
        if not self._waits:
            return
        if not self._answered.acquire(timeout=PATIENCE_S):
            with self._meeting:
                self._waits = self._is_written
            if not self._waits:
                self._note_late()
                return
            self._answered.acquire()
        self._late_in_a_row = 0
        self._finish()

    def _note_late(self) -> None:
        self._late_in_a_row += 1
        if self._late_in_a_row >= OFTEN:
            self._late_in_a_row = 0
            self._rests_until_s = time.monotonic() + REST_S

    def _finish(self) -> None:
        told, self._told = self._told, None
        self._idle.set()
        assert told is not None
        told(self._error)

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            if self._work is None:
                return
            try:
                self.log.write(*self._work)
            except OSError as error:
                self._error = error
            with self._meeting:
                self._is_written = True
                waits = self._waits
            if waits:
                self._answered.release()
                continue
            assert self._loop is not None
            # Once the loop is closed nobody is left to hear it, and the frame is durable.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._finish)

    async def close(self, deadline_s: float) -> None:
        """Finish what is being written, and end the thread; a disk that hangs is left hanging."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            return
        self._work = None
        self._asked.release()
        await asyncio.to_thread(self._thread.join, deadline_s)
        self.log.close()


def _closed() -> threading.Lock:
    """What one thread waits for until the other releases it; a semaphore is written in Python, and slower."""
    lock = threading.Lock()
    lock.acquire()
    return lock
