"""The journal's only writer: a thread that turns many waiting jobs into one durable commit.

The jobs of one turn of the event loop are handed over together, and while one commit waits for the disk the
next ones gather: a burst costs one or two fsyncs instead of one each, and a lone job waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.journal import guard, schema
from engine.journal.errors import JournalUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

MAX_WAITING = 1024
MAX_GROUP = 256
FOLD_JOBS = 256  # about 4 MB of the write-ahead log: then it is folded into the file in the next pause
MOST_UNFOLDED_JOBS = 8 * FOLD_JOBS
PAUSE_S = 0.2  # without a job for so long, the next one is hardly due in the milliseconds that folding takes


@dataclass(slots=True)
class _Job:
    """One piece of work with whoever waits for it."""

    work: Work[Any]
    then: Callable[[Any], None] | None
    waiter: asyncio.Future[Any]
    has_slot: bool = False  # one of the places that callers wait for
    is_kept: bool = False  # tried until it is committed: what comes behind it may depend on it
    over: Callable[[], None] | None = None  # told when it is certain what became of it, however late
    result: Any = None
    error: Exception | None = None


class Writer:
    """Runs work on the journal's connection, in the order of arrival, and answers after the commit."""

    def __init__(self, path: Path, deadline_s: float) -> None:
        self._path = path
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(MAX_WAITING)
        self._unanswered = 0
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._is_rousing = False
        self._is_roused = False  # something that waits is due
        self._closing = False
        self._unfolded_jobs = 0
        self._is_refused = False
        self.damage: str | None = None  # what SQLite said of a file that it could no longer make sense of
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: sqlite3.Connection | None = schema.connect(path)
        self._begin()

    def _begin(self) -> None:
        """Start serving. A simulation serves in the loop's own thread instead, in a fixed order."""
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T], then: Callable[[T], None] | None = None) -> T:
        """Run `work` in a transaction and return its result once that is durable.

        `then` is called in the loop's thread after the commit, even when nobody waits any more. An
        exception of `work` that is not SQLite's undoes only its own writes and is raised here. Raises
        JournalUnavailable when the disk refuses or the deadline passes.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._slots.acquire()
                try:
                    job = self._put(_Job(work, then, _future(), has_slot=True))
                except JournalUnavailable:
                    self._slots.release()
                    raise
                # Shielded: the commit may still come, and the answer to it must find a live future.
                result: T = await asyncio.shield(job.waiter)
        except TimeoutError:
            raise self._overdue() from None
        return result

    def begin(
        self,
        work: Work[T],
        then: Callable[[T], None] | None = None,
        over: Callable[[], None] | None = None,
    ) -> asyncio.Future[T]:
        """The same at once, for a caller that is bounded by itself and has all of a turn's together.

        `over` is called when it was committed or refused, which may be after the deadline.
        """
        job = _Job(work, then, _future(), over=over)
        try:
            self._put(job)
        except JournalUnavailable as closed:
            job.waiter.set_exception(closed)
            if over is not None:
                over()
            return job.waiter
        self._rouse()
        # The commit may still come later, and `then` with it.
        late = job.waiter.get_loop().call_later(self._deadline_s, self._give_up, job)
        job.waiter.add_done_callback(lambda _: late.cancel())
        return job.waiter

    def keep(self, work: Work[T], then: Callable[[T], None], within_s: float) -> None:
        """Run `work` with the next commit, or by itself in `within_s`, and again until the disk takes it.

        Until then everything that comes later waits behind it. It is for what is durable elsewhere: when the
        writer is closed before the disk took it, it is given up.
        """
        job = self._put(_Job(work, then, _future(), is_kept=True), rouses=False)
        job.waiter.get_loop().call_later(within_s, self._rouse)

    def _give_up(self, job: _Job) -> None:
        if not job.waiter.done():
            job.waiter.set_exception(self._overdue())

    def _overdue(self) -> JournalUnavailable:
        return JournalUnavailable(f"The journal did not answer in {self._deadline_s:g} s: see to the disk")

    @property
    def is_idle(self) -> bool:
        """Whether everything that was handed over is answered."""
        return not self._unanswered

    def _put(self, job: _Job, *, rouses: bool = True) -> _Job:
        self._loop = loop = job.waiter.get_loop()
        with self._wake:
            if self._closing:
                raise JournalUnavailable("The journal is closed: the engine is ending")
            self._jobs.append(job)
        self._unanswered += 1
        if rouses and not self._is_rousing:
            # At the end of the turn: else the first of a burst has a commit to itself, beside which the
            # others fight for the interpreter.
            self._is_rousing = True
            loop.call_soon(self._rouse)
        return job

    def _rouse(self) -> None:
        self._is_rousing = False
        with self._wake:
            self._is_roused = bool(self._jobs)
            self._wake.notify()

    async def close(self) -> None:
        """Finish what waits, fold the write-ahead log into the file and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, self._deadline_s)

    def _serve(self) -> None:
        while group := self._take():
            self._commit(group)
            assert self._loop is not None
            # Once the loop is closed nobody is left to hear it, and the record is durable.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._answer, group)
            if self._unfolded_jobs >= MOST_UNFOLDED_JOBS:
                self._fold_in_part()
            self._rest()
        self._fold()

    def _rest(self) -> None:
        """A disk that has refused what is kept is not asked again at once, unless for something new."""
        with self._wake:
            if self._is_refused and not self._closing and all(job.is_kept for job in self._jobs):
                self._wake.wait(PAUSE_S)

    def _take(self) -> list[_Job]:
        """What waits, once something of it is due: before that, what is only kept takes no commit."""
        with self._wake:
            while not (self._jobs and self._is_roused) and not self._closing:
                if not self._wake.wait(PAUSE_S if self._unfolded_jobs >= FOLD_JOBS else None):
                    self._fold_in_part()
            self._is_roused = len(self._jobs) > MAX_GROUP
            return [self._jobs.popleft() for _ in range(min(MAX_GROUP, len(self._jobs)))]

    def _commit(self, group: list[_Job]) -> None:
        """Run every job of the group in one transaction; a failure of the disk is a failure of them all.

        Those that are kept leave the group then, and are the first of the next one.
        """
        self._is_refused = False
        try:
            connection = self._ready()
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._attempt(connection, job, is_alone=len(group) == 1)
            connection.execute("COMMIT")
            self._unfolded_jobs += len(group)
        except sqlite3.Error as error:
            self._abandon()
            if guard.is_damage(error):
                self.damage = str(error)
            self._refuse(group, str(error))

    def _refuse(self, group: list[_Job], reason: str) -> None:
        kept = [job for job in group if job.is_kept and not self._closing]
        with self._wake:
            if self._closing and any(job.is_kept for job in group):
                # What comes behind is not to be there without it.
                group += self._jobs
                self._jobs.clear()
            self._jobs.extendleft(reversed(kept))
            self._is_roused |= bool(kept)
        self._is_refused = bool(kept)
        group[:] = [job for job in group if job not in kept]
        for job in group:
            job.error = JournalUnavailable(f"The journal cannot be written ({reason}): see to the disk")

    @staticmethod
    def _attempt(connection: sqlite3.Connection, job: _Job, *, is_alone: bool) -> None:
        """Run one job, so that a refusal of its own undoes what it wrote and nothing else."""
        if not is_alone:
            connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # the work's own refusal, or a fault in it: its caller's, not the group's
            connection.execute("ROLLBACK" if is_alone else "ROLLBACK TO job")
            job.error = error
            if is_alone:
                connection.execute("BEGIN")
        if not is_alone:
            connection.execute("RELEASE job")

    def _ready(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self._path)
        return self._connection

    def _abandon(self) -> None:
        """Give up the connection: after a failed write the next group starts on a fresh one."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()  # rolls back what was not committed
            self._connection = None

    def _fold_in_part(self) -> None:
        """Move the write-ahead log into the file. SQLite would, within a commit that somebody waits for."""
        self._unfolded_jobs = 0
        try:
            self._ready().execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            self._abandon()
            if guard.is_damage(error):
                self.damage = str(error)

    def _fold(self) -> None:
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.close()
            except sqlite3.Error:
                return  # the log stays beside the file and is read at the next start

    def _answer(self, group: list[_Job]) -> None:
        for job in group:
            self._unanswered -= 1
            if job.has_slot:
                self._slots.release()
            if job.over is not None:
                job.over()
            if job.error is None and job.then is not None:
                job.then(job.result)
            if job.waiter.done():
                continue
            if job.error is None:
                job.waiter.set_result(job.result)
            else:
                job.waiter.set_exception(job.error)


def _future() -> asyncio.Future[Any]:
    waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    waiter.add_done_callback(_retrieve)
    return waiter


def _retrieve(waiter: asyncio.Future[Any]) -> None:
    """Look at the exception: a caller that gave up must not make the loop report it as never seen."""
    if not waiter.cancelled():
        waiter.exception()
