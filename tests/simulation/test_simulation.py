"""The engine keeps its promises in worlds of trouble, and the same seed is the same world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sim.campaign import Findings, run_campaign
from sim.swarm import KINDS, PATHS

HERE = Path(__file__).parent
QUICK_SEEDS = 200

pytestmark = pytest.mark.timeout(600)  # ten seconds on a machine with nothing else to do


def known_seeds() -> list[int]:
    """The seeds that once broke a promise."""
    lines = (HERE / "seeds.txt").read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def quick() -> Findings:
    """What the quick run found."""
    return run_campaign([*range(QUICK_SEEDS), *known_seeds()])


def test_no_promise_is_broken_in_the_quick_worlds(quick):
    assert not quick.violations, quick.complaint()


def test_every_kind_of_trouble_and_every_turn_of_a_liquidation_really_happened(quick):
    assert [name for name in (*KINDS, *PATHS) if not quick.counts[name]] == []


def test_the_same_seed_is_the_same_world_in_another_process_with_other_hashes(quick):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from sim.world import simulate\n"
        "for seed in map(int, sys.argv[2:]): print(seed, simulate(seed).digest)"
    )
    seeds = [12, 3, 7, 41, 3]
    told = subprocess.run(
        [sys.executable, "-c", script, str(HERE), *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    assert told[:-1] == [f"{seed} {quick.digests[seed]}" for seed in seeds]
    assert len({quick.digests[seed] for seed in seeds}) == len(set(seeds))
