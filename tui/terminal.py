"""Leaves the terminal as it was: on signals, on a silent hang-up, and when the terminal stopped reading."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import termios
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

FORCE_AFTER_S = 3.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# Mouse, paste, kitty keys, focus reports and in-band resizes off; alternate screen left; cursor and wrap on.
_RESTORE = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?2048l"
    b"\x1b[<u\x1b[?1004l\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[0m"
)


class TerminalGuard:
    """Remembers the terminal and takes over the signals. `leave` is called at most once, in the main thread.

    The app's own way out is tried first. It goes through a queue that a terminal which does not read can
    block for ever, so after FORCE_AFTER_S the process ends all the same.
    """

    def __init__(self, input_fd: int, output_fd: int, leave: Callable[[int], None]) -> None:
        self._input_fd = input_fd
        self._output_fd = output_fd
        self._leave = leave
        self._attributes: list[Any] | None = None
        self._leaving = False
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(input_fd)

    def install(self) -> None:
        """Take over SIGTERM and SIGHUP, ignored or not: a console without its terminal has no purpose."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch_hangup, name="hangup", daemon=True).start()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._leaving:
            return
        self._leaving = True
        code = 128 + number
        timer = threading.Timer(FORCE_AFTER_S, self._force, (code,))
        timer.daemon = True
        timer.start()
        self._leave(code)

    def _watch_hangup(self) -> None:
        """A pty whose other side is gone says so to poll, also when no SIGHUP reaches this process."""
        poller = select.poll()
        poller.register(self._input_fd, 0)  # hang-ups and errors are always reported
        with contextlib.suppress(OSError):
            poller.poll()
            os.kill(os.getpid(), signal.SIGHUP)

    def _force(self, code: int) -> None:
        """Restore what can be restored without waiting for anything, and end."""
        with contextlib.suppress(OSError, termios.error):
            if self._attributes is not None:
                termios.tcsetattr(self._input_fd, termios.TCSANOW, self._attributes)
        with contextlib.suppress(OSError):
            flags = fcntl.fcntl(self._output_fd, fcntl.F_GETFL)
            fcntl.fcntl(self._output_fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            try:
                os.write(self._output_fd, _RESTORE)
            finally:
                fcntl.fcntl(self._output_fd, fcntl.F_SETFL, flags)
        os._exit(code)
