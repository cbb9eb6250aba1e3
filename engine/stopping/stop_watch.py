"""Two ways to stop that need no listener: SIGUSR1, and a file in the profile's state directory.

Each has a thread of its own. The signal waits for no disk, and neither waits for the event loop.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from engine.api.peers import peer_name
from engine.control import Gate, read_standing_stop
from engine.stopping.emergency import EmergencyStop
from engine.stopping.stop_signal import STOP_SIGNAL, is_held

log = structlog.get_logger("control")

PERIOD_S = 0.02
_LONGEST_ACKNOWLEDGEMENT = 1000


class StopWatch:
    """Listens until the end of its context. The signal is listened to only where it is held."""

    def __init__(self, gate: Gate, emergency: EmergencyStop, standing_stop: Path, acknowledged: Path) -> None:
        self._gate = gate
        self._emergency = emergency
        self._standing_stop = standing_stop
        self._acknowledged = acknowledged
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._watch_file, name="stop file", daemon=True)]
        if is_held():
            self._threads.append(threading.Thread(target=self._watch_signal, name="stop signal", daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not joined: the threads hold nothing, and one may hang in a dead disk.
        self._ending.set()

    def _watch_signal(self) -> None:
        while not self._ending.wait(PERIOD_S):
            # Never waited for in there: a wait that SIGCONT or a debugger interrupts until its time is up
            # returns a signal that nobody sent (CPython hands out the structure that nothing was written to).
            caught = signal.sigtimedwait({STOP_SIGNAL}, 0)
            if caught is not None:
                who = _name_of(caught.si_uid)
                told = self._emergency.press_and_wait(who, f"SIGUSR1 from process {caught.si_pid}")
                log.warning("stopped by a signal", by=who, acknowledgement=told)

    def _watch_file(self) -> None:
        while not self._ending.wait(PERIOD_S):
            if not self._gate.may_open:
                continue
            order = read_standing_stop(self._standing_stop)
            if order is not None:
                told = self._emergency.press_and_wait(*order)
                self._acknowledge(told)
                log.warning("stopped by a file", by=order[0], acknowledgement=told)

    def _acknowledge(self, told: str) -> None:
        """Answer beside the file, for whoever wrote it."""
        scratch = self._acknowledged.with_suffix(".new")
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(told[:_LONGEST_ACKNOWLEDGEMENT] + "\n")
            scratch.replace(self._acknowledged)
        except OSError as error:
            log.error("the acknowledgement cannot be written", reason=str(error))


def _name_of(uid: int) -> str:
    """Our own name is known by now; a stranger's would be a question to a directory that may hang."""
    return peer_name(uid) if uid == os.getuid() else f"uid {uid}"
