"""The machine that the engine runs on: clocks, a disk that is slow or refuses, a journal without thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from engine import control
from engine.control import GateState
from engine.journal import schema
from engine.journal.intent_log import IntentLog
from engine.journal.journal import WRITE_DEADLINE_S
from engine.journal.prompt_writer import PATIENCE_S, PromptWriter, Told
from engine.journal.writer import PAUSE_S, Writer, _Job
from sim.loop import sleep
from sim.swarm import Plan, stream
from sim.timeline import START_S, Timeline

HANGS = 0.1  # of the times when the disk is slow: it answers later than anybody waits for it

_write_gate = control._write


class VirtualClock:
    """The world's time as the engine's clock; the wall clock may be wrong."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.skew_s = 0
        self._asked_at_s = -1.0
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds of the machine's wall clock."""
        return (START_S + self.skew_s) * 10**9 + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never jump."""
        now_s = self._timeline.now_s
        if now_s != self._asked_at_s:  # it is asked for three times at each instant
            self._asked_at_s, self._monotonic_ns = now_s, round(now_s * 1e9)
        return self._monotonic_ns

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait on the virtual loop."""
        return sleep(seconds)


class Disk:
    """How long a write takes, and whether it works; `reach` is called before and after each."""

    def __init__(
        self,
        plan: Plan,
        random: Random,
        timeline: Timeline,
        is_calm: Callable[[], bool],
        reach: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._random = random
        self._rare = stream(plan.seed, f"rare disk {timeline.now_s}")
        self._timeline = timeline
        self._refuses_until_s = 0.0
        self._is_calm = is_calm
        self.reach = reach
        self._count = count

    def delay_s(self) -> float:
        """How long a commit takes."""
        if not self._is_calm() and self._random.random() < 0.3 * self._plan.intensity("disk is slow"):
            self._count("disk is slow")
            slow_s = self._random.uniform(0.05, 3.0)
            if self._rare.random() < HANGS:
                self._count("disk hangs")
                return self._rare.uniform(WRITE_DEADLINE_S, 1.2 * WRITE_DEADLINE_S)
            return slow_s
        return 0.0008

    def refuses(self) -> bool:
        """Whether this write fails."""
        intensity = self._plan.intensity("disk refuses")
        if self._is_calm() or not intensity:
            return False
        now_s = self._timeline.now_s
        if now_s >= self._refuses_until_s and self._random.random() < 0.15 * intensity:
            self._refuses_until_s = now_s + self._random.choice((0.0, 0.5, 3.0))
            self._count("disk refuses")
            return True
        return now_s < self._refuses_until_s

    def late(self) -> None:
        """A frame of the intent log was not waited for."""
        self._count("intents late")

    def keeps(self) -> bool:
        """Whether what it said that it could not write is there all the same."""
        is_kept = self._random.random() < 0.5
        if is_kept:
            self._count("intents kept by a failing disk")
        return is_kept

    def keeps_commit(self) -> bool:
        """Whether a commit that it refused is there all the same, until the next one takes its place."""
        return self._rare.random() < 0.5

    def found(self) -> None:
        """A process has died and left such a commit behind."""
        self._count("commits kept by a failing disk")

    def write_gate(self, path: Path, state: GateState) -> None:
        """The gate's write of its file, unless the disk refuses."""
        if self.refuses():
            raise OSError(5, "Input/output error")
        _write_gate(path, state)

    def run_inline(self, work: Callable[[], Any], *, is_read: bool = True) -> Any:
        """What the engine gives to a thread: the gate's file, and reading the outbox."""
        self.reach("thread before")
        if is_read and self.refuses():
            raise OSError(5, "Input/output error")
        result = work()
        self.reach("thread after")
        return result


class InlineExecutor(Executor):
    """A thread that is none: the gate's writes, in the loop's thread after the disk's time."""

    def __init__(self, disk: Disk, call_later: Callable[..., Any]) -> None:
        self._disk = disk
        self._call_later = call_later

    def submit(self, work: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """Run it later; the future is done then."""
        done: Future[Any] = Future()
        self._call_later(self._disk.delay_s(), self._run, done, lambda: work(*args))
        return done

    def _run(self, done: Future[Any], work: Callable[[], Any]) -> None:
        try:
            done.set_result(self._disk.run_inline(work, is_read=False))
        except Exception as error:
            done.set_exception(error)


class InlineWriter(Writer):
    """The journal's writer, with its commits made in the loop's thread after the disk's time.

    `committed` is told the jobs of each group that is durable, before anybody else learns of it.
    """

    disk: Disk
    committed: Callable[[list[Any]], None]

    def __init__(
        self, path: Path, deadline_s: float, disk: Disk, committed: Callable[[list[Any]], None]
    ) -> None:
        self.disk = disk
        self.committed = committed
        self._is_committing = False
        self._left: list[_Job] = []  # by the last commit, which was refused and is there all the same
        super().__init__(path, deadline_s)

    def _begin(self) -> None:
        """Nothing to start: `_rouse` arranges each commit."""

    def _rouse(self) -> None:
        self._is_rousing = False
        if self._jobs and not self._is_committing:
            self._is_committing = True
            asyncio.get_running_loop().call_later(self.disk.delay_s(), self._commit_group)

    def _commit_group(self) -> None:
        self._is_roused = True
        group = self._take()
        self._commit(group)
        self.disk.reach("journal after commit")
        self._is_committing = False
        self._answer(group)
        if self._is_refused and all(job.is_kept for job in self._jobs):
            # As the thread rests; what is new before that is tried at once.
            asyncio.get_running_loop().call_later(PAUSE_S, self._rouse)
        elif self._jobs:
            self._rouse()

    def _commit(self, group: list[_Job]) -> None:
        self.disk.reach("journal before commit")
        if self.disk.refuses():
            job = group[0]
            if self.disk.keeps_commit():
                self._left = [_Job(each.work, None, each.waiter) for each in group]
            job.work, kept = _refused, job.work
            try:
                super()._commit(group)
            finally:
                job.work = kept
            return
        before = self._ready().total_changes
        super()._commit(group)
        if self._ready().total_changes != before:
            self._left = []
        self.committed([job for job in group if job.error is None])

    async def close(self) -> None:
        """Finish what waits and close the file."""
        self._closing = True
        while self._jobs or self._is_committing:  # nothing tells when it is over
            await sleep(0.001)
        self._left = []
        self._fold()

    def abandon(self) -> None:
        """The process died: what was not committed is gone, and what was refused may be there."""
        self._abandon()
        if not self._left:
            return
        with closing(schema.connect(self._path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for job in self._left:
                self._attempt(connection, job, is_alone=False)
            connection.execute("COMMIT")
        self.disk.found()
        self.committed([job for job in self._left if job.error is None])


class InlinePromptWriter(PromptWriter):
    """The intent log's writer without its thread: at once, or after the disk's time where that is long.

    `committed` is told the intents of each frame that is durable.
    """

    def __init__(self, log: IntentLog, disk: Disk, committed: Callable[[list[Any]], None]) -> None:
        self.log = log
        self.disk = disk
        self.committed = committed
        self._idle = asyncio.Event()
        self._idle.set()

    def write(self, start: int, frame: bytes, told: Told) -> None:
        """As the real one, which waits for a quick disk where it stands."""
        self._idle.clear()
        delay_s = self.disk.delay_s()
        if delay_s <= PATIENCE_S:
            self._write_now(start, frame, told)
        else:
            self.disk.late()
            asyncio.get_running_loop().call_later(delay_s, self._write_now, start, frame, told)

    def _write_now(self, start: int, frame: bytes, told: Told) -> None:
        self.disk.reach("journal before commit")
        error = None
        if self.disk.refuses():
            error = OSError(5, "Input/output error")
            if self.disk.keeps():
                self.log.write(start, frame)
        else:
            self.log.write(start, frame)
            asked = told.args[2]  # type: ignore[attr-defined]  # a partial of Intake._hear
            self.committed([intent for intent, waiter in asked if not waiter.done()])
        self.disk.reach("journal after commit")
        self._idle.set()
        told(error)

    async def close(self, deadline_s: float) -> None:
        """Finish what is being written."""
        while self.is_busy:
            await sleep(0.001)
        self.log.close()

    def abandon(self) -> None:
        """The process died; the file stays."""
        self.log.abandon()


def _refused(connection: sqlite3.Connection) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    raise error
