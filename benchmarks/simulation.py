"""How many whole runs of the simulated engine a core does in a second, and how many broke a promise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.processes import Failed

SLICES = 3
SEEDS_OF_A_SLICE = 200
FIRST_SEED = 100_000  # none that a test runs
GOAL_PER_S = 30.0

SIMULATION = Path(__file__).parents[1] / "tests" / "simulation"


def measure() -> Iterator[Measurement]:
    """Seconds are of processor time, so that what else the machine does counts little."""
    if not SIMULATION.is_dir():
        raise Failed("the simulation lies in tests/simulation, which is not here")
    sys.path.insert(0, str(SIMULATION))
    from sim.campaign import run_campaign

    rates, broken, runs = [], [], 0
    for number in range(SLICES):
        first = FIRST_SEED + number * SEEDS_OF_A_SLICE
        found = run_campaign(range(first, first + SEEDS_OF_A_SLICE))
        rates.append(found.runs / found.core_s)
        broken.append(float(len(found.violations)))
        runs += found.runs
        if found.violations:
            print(found.complaint(), file=sys.stderr)
    yield Measurement("simulate", "runs/s/core", rates, n=runs, goal=GOAL_PER_S, higher_is_better=True)
    yield Measurement("simulate_violations", "runs", [sum(broken)], n=runs, goal=0.0)
