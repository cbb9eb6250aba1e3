"""The simulation can fail: each planted bug is found, by the promise that it breaks."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from bugs.planting import BUGS
from sim.campaign import first_violating

HERE = Path(__file__).parent
MOST_SEEDS = 1000  # the rarest is found about once in three hundred

pytestmark = pytest.mark.timeout(600)
QUICK = ("record after send", "stop checked once", "re-sign on timeout", "dedup never cleared")


@cache
def finding(bug: str) -> int | None:
    """The first seed that finds it by the promise that it breaks."""
    return first_violating(bug, BUGS[bug][1], range(150))


@pytest.mark.parametrize("bug", QUICK)
def test_a_plain_mistake_is_found_within_a_few_seeds_by_the_promise_that_it_breaks(bug):
    assert finding(bug) is not None


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS)
def test_every_planted_bug_is_found_by_the_promise_that_it_breaks(bug):
    _, promise = BUGS[bug]
    assert first_violating(bug, promise, range(MOST_SEEDS)) is not None


def test_a_violating_seed_is_replayed_by_one_command_with_its_trace():
    seed = finding("record after send")
    told = subprocess.run(
        [sys.executable, str(HERE / "replay.py"), str(seed), "--bug", "record after send"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "wire " in told.stdout
    assert "VIOLATION no signature on the wire without a committed intent" in told.stdout
