"""A signal stops the engine, and only that signal: not a wait that was interrupted by something else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.stopping.stop_watch import PERIOD_S

FREEZES = 5
PAUSE_S = 3 * PERIOD_S  # longer than the watch would ever wait in one go
DEADLINE_S = 30.0

LISTENER = """
import sys
from engine.stopping.stop_signal import hold_signal
hold_signal()
from pathlib import Path
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState
from engine.stopping.stop_watch import StopWatch

class Presses:
    def press_and_wait(self, by, reason):
        print(reason, flush=True)
        return "pressed"

home, clock = Path(sys.argv[1]), SystemClock()
first = GateState(1, RUNNING, "a test", 0, "first start")
gate = Gate.load(home / "gate.json", clock, first_start=first, has_history=False)
with StopWatch(gate, Presses(), home / "STOP", home / "acknowledged"):
    print("listening", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that listens for the signal as an engine does, and prints what it takes for one."""
    command = [sys.executable, "-c", LISTENER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield process
        process.kill()


def freeze(process: subprocess.Popen[str]) -> None:
    """Stop it as a debugger does, until each of its threads stands, and for longer than a wait."""
    process.send_signal(signal.SIGSTOP)
    end_s = time.monotonic() + DEADLINE_S
    while any(_state(each) != "T" for each in Path(f"/proc/{process.pid}/task").iterdir()):
        assert time.monotonic() < end_s, "it does not stand still"
    time.sleep(PAUSE_S)
    process.send_signal(signal.SIGCONT)


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_frozen_and_goes_on_has_heard_no_signal_that_nobody_sent(listener):
    for _ in range(FREEZES):
        freeze(listener)
    listener.send_signal(signal.SIGUSR1)
    assert listener.stdout.readline() == f"SIGUSR1 from process {os.getpid()}\n"
