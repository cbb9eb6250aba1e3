"""A sandbox to run clients against, and what a client's script told of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
END_DEADLINE_S = 20.0


@contextlib.contextmanager
def running_sandbox(*arguments: str) -> Iterator[dict[str, str]]:
    """Start `liquidation-engine sandbox`, give what its first line says, and end it."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "sandbox", "--exit-with-parent", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait(END_DEADLINE_S)
                log.seek(0)
                raise AssertionError(f"the sandbox did not start: {log.read()[-2000:]}")
            yield json.loads(line)
            assert process.poll() is None, "the sandbox has ended"
        finally:
            process.terminate()
            try:
                process.wait(END_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Told:
    """What a script saw, by the names it gave."""

    def __init__(self, lines: Sequence[dict[str, Any]], complaint: str) -> None:
        self.names = [line["saw"] for line in lines]
        self.complaint = complaint
        self._lines = {line["saw"]: line for line in lines}

    def __getitem__(self, name: str) -> Any:
        """What was seen; fails with the client's error when there was one."""
        line = self._line(name)
        assert "failed" not in line, f"{name}: {line['failed']}"
        return line["value"]

    def failure(self, name: str) -> dict[str, Any]:
        """How the client failed to see something."""
        line = self._line(name)
        assert "failed" in line, f"{name} did not fail: {line['value']}"
        failed: dict[str, Any] = line["failed"]
        return failed

    def failures(self) -> dict[str, Any]:
        """Everything that the client failed to see."""
        return {name: line["failed"] for name, line in self._lines.items() if "failed" in line}

    def _line(self, name: str) -> dict[str, Any]:
        assert name in self._lines, f"{name} was never told of; the script ended with: {self.complaint}"
        return self._lines[name]


def told_in(command: Sequence[str], folder: Path, deadline_s: float) -> Told:
    """Run a script that tells what it sees; one that breaks off told less, and says why in `complaint`."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=deadline_s, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"saw"')]
    complaint = done.stderr[-3000:] if done.returncode else "no error"
    return Told(lines, complaint)
