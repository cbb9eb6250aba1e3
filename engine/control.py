"""The gate: whether bytes may leave. It is checked in memory right before each write, and kept on disk.

A stop closes the gate in memory first and only then touches the disk, so nothing that can hang or fail
stands between the operator's key and silence. It may come from any thread: those who listen for one do not
wait for a busy event loop. Anything unreadable about the kept state means stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from engine.clock import Clock

log = structlog.get_logger("control")

RUNNING = "running"
STOPPED = "stopped"

PERSIST_DEADLINE_S = 0.08  # the whole acknowledgement has 100 ms
_MAX_TEXT = 200


class SendingStopped(Exception):
    """The gate is closed: these bytes do not leave."""


class StaleResume(Exception):
    """The resume names another stop than the one in force; nothing was changed."""


class GateNotPersisted(Exception):
    """The resumed state could not be written to disk, so the gate stays closed."""


@dataclass(frozen=True, slots=True)
class GateState:
    """Running or stopped, with the version that every change increments, and who, when and why."""

    version: int
    state: str
    by: str
    at_ns: int
    reason: str

    @property
    def is_running(self) -> bool:
        """Whether sending is allowed."""
        return self.state == RUNNING


class Gate:
    """The emergency stop of one engine.

    `check`, `shut` and the stops may be called in any thread; opening and waiting belong to the event loop.
    `disk` runs the writes, one after the other and in order; a simulation gives one that runs them at once.
    """

    def __init__(
        self,
        path: Path,
        initial: GateState,
        clock: Clock,
        *,
        persisted: bool,
        disk: Executor | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._state = initial
        self._persisted = persisted
        self._resuming = 0
        self._changing = threading.RLock()  # held for moments only, never while the disk works
        self._writing: tuple[GateState, Future[None]] | None = None
        # One thread, so that the disk sees the states in the order in which they were taken.
        self._disk = disk or ThreadPoolExecutor(max_workers=1, thread_name_prefix="gate")
        self._opened = asyncio.Event()
        self._listeners: list[Callable[[GateState], None]] = []
        if initial.is_running:
            self._opened.set()

    @classmethod
    def load(
        cls,
        path: Path,
        clock: Clock,
        *,
        first_start: GateState,
        has_history: bool,
        standing_stop: Path | None = None,
        disk: Executor | None = None,
    ) -> Gate:
        """Read the kept state.

        `first_start` holds only when nothing is kept and `has_history` is false (no journal exists): a gate
        file that vanished beside a journal means stopped. A standing stop, left by an operator while no
        engine ran, closes the gate whatever was kept.
        """
        state = _read(path)
        if state is None:
            missing = not path.exists()
            state = first_start if missing and not has_history else _unreadable(clock, missing=missing)
        gate = cls(path, state, clock, persisted=path.exists(), disk=disk)
        order = None if standing_stop is None else read_standing_stop(standing_stop)
        if order is not None:
            gate._close(*order)
        gate._persist_now()
        return gate

    @property
    def state(self) -> GateState:
        """The state in force."""
        return self._state

    @property
    def is_persisted(self) -> bool:
        """Whether the state in force is on disk, so that it holds across a restart."""
        return self._persisted

    def check(self) -> None:
        """Raise SendingStopped unless sending is allowed. Call it with no await before the write."""
        if not self._state.is_running:
            raise SendingStopped(f"stopped by {self._state.by}: {self._state.reason}")

    def check_version(self, version: int) -> None:
        """Raise StaleResume unless the state in force is the one of this version."""
        if version != self._state.version:
            raise StaleResume(
                f"the stop in force is version {self._state.version}, not {version}: look at it again"
            )

    async def wait_open(self) -> None:
        """Return when sending is allowed."""
        await self._opened.wait()

    def listen(self, listener: Callable[[GateState], None]) -> None:
        """Call `listener` after each change, at once and in the thread that made it: it must not wait."""
        self._listeners.append(listener)

    @property
    def may_open(self) -> bool:
        """Whether bytes may leave now, or a resume that is under way would let them."""
        return self._state.is_running or self._resuming > 0

    def shut(self, by: str, reason: str) -> GateState:
        """Close the gate in memory, from any thread; the disk learns of it with `persist`.

        When this returns nothing more leaves. Idempotent: a second stop keeps who was first, when and why.
        """
        with self._changing:
            if self.may_open:
                self._close(by, reason)
            return self._state

    async def stop(self, by: str, reason: str) -> GateState:
        """Shut, and persist: `is_persisted` says afterwards whether the disk knows it too."""
        self.shut(by, reason)
        await self.persist()
        return self._state

    async def persist(self) -> None:
        """Write the state in force if the disk does not have it; a slow disk is left writing after 80 ms."""
        writing = self.begin_to_persist()
        if writing is not None and not writing.done():
            await asyncio.wait({asyncio.wrap_future(writing)}, timeout=PERSIST_DEADLINE_S)

    def persist_and_wait(self, deadline_s: float = PERSIST_DEADLINE_S) -> None:
        """The same for a thread that has no event loop, or no hurry."""
        writing = self.begin_to_persist()
        if writing is not None:
            wait({writing}, timeout=deadline_s)

    async def resume(self, by: str, reason: str, version: int) -> GateState:
        """Open the gate that was closed at `version`.

        The disk comes first here: raises StaleResume when the version is another one, GateNotPersisted when
        the new state cannot be kept.
        """
        self.check_version(version)
        if self._state.is_running:
            return self._state
        opened = GateState(version + 1, RUNNING, _tidy(by), self._clock.now_ns(), _tidy(reason))
        with self._changing:
            self._resuming += 1
        try:
            await asyncio.wrap_future(self._disk.submit(_write, self._path, opened))
            self._open(opened)
        except StaleResume:
            raise
        except BaseException as error:
            # The disk may hold the resumed state all the same: the state in force is written over it.
            self._persisted = False
            self.begin_to_persist()
            if isinstance(error, OSError | RuntimeError):
                raise GateNotPersisted(
                    f"the resumed state cannot be written to {self._path}: {error}"
                ) from error
            raise
        finally:
            with self._changing:
                self._resuming -= 1
        return opened

    def _open(self, opened: GateState) -> None:
        """Take over the resumed state, unless a stop arrived while the disk was busy: it wins."""
        with self._changing:
            if self._state.version != opened.version - 1:
                raise StaleResume("a newer stop arrived during the resume and stays in force")
            self._adopt(opened, persisted=True)

    def _close(self, by: str, reason: str) -> None:
        closed = GateState(self._state.version + 1, STOPPED, _tidy(by), self._clock.now_ns(), _tidy(reason))
        self._adopt(closed, persisted=False)

    def _adopt(self, state: GateState, *, persisted: bool) -> None:
        self._state = state
        self._persisted = persisted
        if state.is_running:
            self._opened.set()
        else:
            self._opened.clear()
        for listener in self._listeners:
            try:
                listener(state)
            except Exception:
                # A stop depends on nothing that can fail, and least of all on who wants to hear of it.
                log.exception("a listener of the gate broke")

    def begin_to_persist(self) -> Future[None] | None:
        """The write of the state in force, which is not waited for; None if none is needed or can be had."""
        with self._changing:
            state = self._state
            if self._persisted:
                return None
            if self._writing is not None and self._writing[0] == state and not self._writing[1].done():
                return self._writing[1]
            try:
                writing = self._disk.submit(self._write, state)
            except RuntimeError as error:
                log.error("the stop state is not on disk", reason=str(error))
                return None
            self._writing = state, writing
            return writing

    def _write(self, state: GateState) -> None:
        """In the disk's thread: noted before the write counts as done, so that whoever waits for it knows."""
        try:
            _write(self._path, state)
        except OSError as error:
            log.error("the stop state is not on disk", reason=str(error))
            return
        with self._changing:
            if state == self._state:
                self._persisted = True

    def _persist_now(self) -> None:
        try:
            _write(self._path, self._state)
            self._persisted = True
        except OSError:
            self._persisted = False


def _unreadable(clock: Clock, *, missing: bool) -> GateState:
    what = "is missing beside a journal" if missing else "cannot be read"
    return GateState(1, STOPPED, "engine", clock.now_ns(), f"the kept stop state {what}")


def _tidy(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:_MAX_TEXT]


def _read(path: Path) -> GateState | None:
    try:
        raw = json.loads(path.read_bytes())
        state = GateState(**raw)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    numbers_ok = isinstance(state.version, int) and isinstance(state.at_ns, int)
    texts_ok = all(isinstance(text, str) for text in (state.by, state.reason))
    return state if numbers_ok and texts_ok and state.state in (RUNNING, STOPPED) else None


def read_standing_stop(path: Path) -> tuple[str, str] | None:
    """Who left a standing stop, and why; None without one. The file's existence is the order."""
    try:
        raw = json.loads(path.read_bytes())
        return str(raw["by"]), str(raw["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "operator", f"the file {path} exists"


def _write(path: Path, state: GateState) -> None:
    """Replace the file atomically and durably: data first, then the name, then the directory."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_suffix(f".{state.version}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, json.dumps(asdict(state)).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    scratch.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
