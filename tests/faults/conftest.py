"""Faults on real processes: a sandbox, an engine and a database of the test's own, and what befalls them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# What these tests share are modules of this folder, the terminal is the console's; no folder is a package.
sys.path.insert(0, str(Path(__file__).parents[1] / "tui"))
sys.path.insert(0, str(Path(__file__).parent))
from arena import Arena

LONGEST_TALE = 60


@pytest.fixture
async def arena(request: pytest.FixtureRequest) -> AsyncIterator[Arena]:
    """No process yet, in a directory whose path is short enough for sockets; a failure tells the logs."""
    failed_before = request.session.testsfailed
    with tempfile.TemporaryDirectory(prefix="lf-") as folder:
        arena = Arena(Path(folder))
        try:
            yield arena
        finally:
            await arena.end()
            if request.session.testsfailed > failed_before or request.config.getoption("verbose") > 1:
                _tell_logs(Path(folder))


def _tell_logs(folder: Path) -> None:
    for log in sorted([*folder.glob("*.log"), *folder.rglob("crash-*.txt")]):
        print(f"--- {log.name}", *log.read_text().splitlines()[-LONGEST_TALE:], sep="\n")
