"""A real console in a real pseudo-terminal: a process of its own, seen as its bytes and as its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.drawn import Drawn

ROOT = Path(__file__).parents[2]
ALTERNATE_ON, ALTERNATE_OFF = b"\x1b[?1049h", b"\x1b[?1049l"
_RUN = """
import sys
from pathlib import Path
from engine.cli.failures import failing_in_one_line
from engine.paths import ProfilePaths
from tui.main import run_console
from tui.plan import LaunchPlan
state, runtime = map(Path, sys.argv[1:])
with failing_in_one_line():
    sys.exit(run_console(LaunchPlan(ProfilePaths("test", state, runtime), attach_only=True, interval_ms=200)))
"""


def console_command(state: Path, runtime: Path, before: str = "") -> list[str]:
    """What opens a console on that profile's engine; the Python of `before` runs ahead of it."""
    return [sys.executable, "-c", before + _RUN, str(state), str(runtime)]


class TerminalConsole:
    """Use as a context manager. `output` holds every byte that was read so far, `screen` what they show.

    Only the cells that changed are written, so a text is looked for on the screen, not in the bytes.

    `command` takes the place of the plain console.
    """

    def __init__(
        self,
        state: Path,
        runtime: Path,
        *,
        columns: int = 120,
        rows: int = 40,
        command: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.output = b""
        self.master, self._slave = pty.openpty()
        self.lose_everything(columns, rows)
        self.before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            list(command) or console_command(state, runtime),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            cwd=ROOT,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "COLUMNS": str(columns),
                "LINES": str(rows),
                "LC_ALL": "C.UTF-8",
                "XDG_CONFIG_HOME": str(state / "config"),
                **environment,
            },
            preexec_fn=_own_terminal,  # noqa: PLW1509 - this process has no other threads here
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self._slave):
            try:
                os.close(descriptor)
            except OSError:
                continue

    def lose_everything(self, columns: int, rows: int) -> None:
        """The terminal gets this size, and its screen is empty."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = Drawn(columns, rows)

    def shows(self, wanted: str | re.Pattern[str], deadline_s: float = 30.0, *, since: int = 0) -> str:
        """Read until the screen `Drawn.shows` it, and return all that is on it then."""
        self._read_until(lambda: self.screen.shows(wanted, since), repr(wanted), deadline_s)
        return self.screen.text

    def read_until(self, wanted: bytes, deadline_s: float = 30.0) -> None:
        """Read until these very bytes were written."""
        self._read_until(lambda: wanted in self.output, repr(wanted), deadline_s)

    def _read_until(self, is_there: Callable[[], bool], wanted: str, deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        while not is_there():
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted} did not come; {self.output[-2000:]!r} made\n{self.screen.text}"
            self._read(left)

    def drain(self) -> None:
        """Read what is left after the process ended."""
        while select.select([self.master], [], [], 0.2)[0] and self._read(0.2):
            continue

    def send(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the console."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """The other side of the terminal goes away."""
        os.close(self.master)
        os.close(self._slave)

    def attributes(self) -> list[object]:
        """The terminal's line discipline now."""
        return termios.tcgetattr(self._slave)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            read = os.read(self.master, 65_536)
        except OSError:
            return False
        self.output += read
        self.screen.take(read)
        return bool(read)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
