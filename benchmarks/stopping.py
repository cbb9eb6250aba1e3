"""The emergency stop, from the key in a terminal to the last byte of a transaction at the node."""

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
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from statistics import quantiles

from benchmarks.measurement import Measurement
from benchmarks.processes import Failed
from engine.drill.course import drill_course
from engine.drill.stop import GOAL_MS, Press, presses

PRESSES = 100
SHOWN_S = 20.0
STOP_KEY = b"\x05"
RUNNING, STOPPED = "● RUNNING".encode(), "■ STOPPED".encode()  # in the banner; events have the words, too
_COLUMNS, _ROWS = 120, 40


def measure() -> Iterator[Measurement]:
    """A hundred presses on an engine that sends and rebroadcasts, and a hundred in a black hole."""
    bright, dark = asyncio.run(_press_all())
    for name, done in (("stop", bright), ("stop_black_holed", dark)):
        if any(press.later for press in done):
            raise Failed("transactions arrived at the node after the stop was acknowledged")
        p99_ms = quantiles([press.silence_ms for press in done], n=100, method="inclusive")[98]
        yield Measurement(name, "ms", [p99_ms], n=len(done), goal=GOAL_MS)


async def _press_all() -> tuple[list[Press], list[Press]]:
    async with drill_course() as course, _console(course.environment) as console:

        async def press_key() -> str:
            return await console.press(STOP_KEY, until=STOPPED)

        async def is_running() -> None:
            await console.shows(RUNNING)

        def pressing(in_the_dark: bool) -> AsyncIterator[Press]:
            return presses(course, PRESSES, press_key, in_the_dark=in_the_dark, ready=is_running)

        return [each async for each in pressing(False)], [each async for each in pressing(True)]


class _Console:
    """A console in a terminal of ours; `output` is what it wrote since the last `forget`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        self._output = b""
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, daemon=True).start()

    async def press(self, key: bytes, *, until: bytes) -> str:
        """Type a key, and return when the console shows what it should."""
        self.forget()
        os.write(self._master, key)
        await self.shows(until)
        return until.decode()

    async def shows(self, text: bytes) -> None:
        """Wait for it; raises Failed."""
        try:
            async with asyncio.timeout(SHOWN_S):
                while text not in self._output:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Failed(f"the console did not show {text.decode()}") from None

    def forget(self) -> None:
        """What was shown so far does not count."""
        self._output = b""

    def end(self) -> None:
        """Kill it; the engine is not its child."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                self._loop.call_soon_threadsafe(self._take, os.read(self._master, 65_536))
            except (OSError, RuntimeError):  # the terminal is closed, or the loop is
                return

    def _take(self, written: bytes) -> None:
        self._output += written
        self._news.set()


@asynccontextmanager
async def _console(environment: Mapping[str, str]) -> AsyncIterator[_Console]:
    console = _Console(environment)
    try:
        yield console
    finally:
        console.end()
