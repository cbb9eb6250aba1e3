"""How long it takes from typing `liquidation-engine sandbox` until everything in it answers."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

from benchmarks.measurement import Measurement
from benchmarks.processes import Failed, command, fresh_home

RUNS = 5
GOAL_S = 5.0


def measure() -> Iterator[Measurement]:
    """Spawn the command with its default options until its first line, five times."""
    samples = [_once() for _ in range(RUNS)]
    yield Measurement("sandbox_ready", "s", samples, n=RUNS, goal=GOAL_S)


def _once() -> float:
    with fresh_home() as environment:
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - this program, no shell
            command("sandbox", "--rpc-port", "0", "--ws-port", "0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            took_s = time.monotonic() - began
        finally:
            process.terminate()
            process.wait()
    if not line or "rpc_url" not in json.loads(line):
        raise Failed("the sandbox did not start")
    return took_s
