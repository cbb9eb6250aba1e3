"""A console in a pseudo-terminal of ours: keys in, what its screen shows, how many bytes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from benchmarks.drawn import Drawn
from benchmarks.processes import Failed, cpu_s

COLUMNS, ROWS = 120, 40
SHOWN_S = 20.0
CONSOLE = (sys.executable, "-m", "engine")


class Terminal:
    """Use as an async context manager. `written` counts the bytes since the last `forget`."""

    def __init__(self, environment: Mapping[str, str], program: Sequence[str] = CONSOLE) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(COLUMNS, ROWS)
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - a console of ours, no shell
            program,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(self._slave)
        self.written = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reads = threading.Event()
        self._reads.set()
        threading.Thread(target=self._read, daemon=True).start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reads.set()
        if self.process.poll() is None:
            self.process.kill()
        await asyncio.to_thread(self.process.wait)
        self.hang_up()

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    async def press(self, key: bytes, *, until: str) -> str:
        """Type a key, and return when the console has written some of what it should show."""
        self.forget()
        self.type(key)
        await self.shows(until, since=self._screen.written)
        return until

    async def shows(self, text: str, *, since: int = 0) -> float:
        """Wait until `Drawn.shows` it; when that was, on the monotonic clock. Raises Failed."""
        try:
            async with asyncio.timeout(SHOWN_S):
                while not self._screen.shows(text, since):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Failed(f"the console did not show {text}") from None
        return time.monotonic()

    def forget(self) -> None:
        """What was written so far does not count."""
        self.written = 0

    def cpu_s(self) -> float:
        """The processor time that the console has used."""
        return cpu_s(self.process.pid)

    def resize(self, columns: int, rows: int) -> None:
        """Another size; the console is told by the kernel."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen = Drawn(columns, rows)

    def stall(self) -> None:
        """Read nothing more."""
        self._reads.clear()

    def read_on(self) -> None:
        """Read again."""
        self._reads.set()

    def hang_up(self) -> None:
        """The terminal goes away."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _read(self) -> None:
        master = self._master
        while True:
            self._reads.wait()
            try:
                self._loop.call_soon_threadsafe(self._take, os.read(master, 65_536))
            except (OSError, RuntimeError):  # the terminal is closed, or the loop is
                return

    def _take(self, written: bytes) -> None:
        self._screen.take(written)
        self.written += len(written)
        self._news.set()
