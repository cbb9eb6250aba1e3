"""How many whole runs of the simulated engine a core does in a second, and how many broke a promise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measurement import Measurement
from benchmarks.processes import Failed

SLICES = 3
SEEDS_OF_A_SLICE = 200
FIRST_SEED = 100_000  # none that a test runs
GOAL_PER_S = 30.0
SEEDS_IN_CI = 5_000
CI_S = 720.0

SIMULATION = Path(__file__).parents[1] / "tests" / "simulation"


def measure() -> Iterator[Measurement]:
    """Seconds are of processor time, of one core that has the machine to itself.

    Two that share a core's units slow each other down: what all of them do together stands beside it.
    """
    if not SIMULATION.is_dir():
        raise Failed("the simulation lies in tests/simulation, which is not here")
    sys.path.insert(0, str(SIMULATION))
    from sim.campaign import run_campaign

    rates, broken, runs = [], [], 0
    for number in range(SLICES):
        first = FIRST_SEED + number * SEEDS_OF_A_SLICE
        found = run_campaign(range(first, first + SEEDS_OF_A_SLICE), cores=1)
        rates.append(found.runs / found.core_s)
        broken.append(float(len(found.violations)))
        runs += found.runs
        if found.violations:
            print(found.complaint(), file=sys.stderr)
    yield Measurement("simulate", "runs/s/core", rates, n=runs, goal=GOAL_PER_S, higher_is_better=True)
    yield _on_every_core(run_campaign)
    yield Measurement("simulate_violations", "runs", [sum(broken)], n=runs, goal=0.0)


def _on_every_core(run_campaign: Callable[..., Any]) -> Measurement:
    """How many the whole machine does in a second, the start of the processes included."""
    began_s = time.monotonic()
    found = run_campaign(range(FIRST_SEED, FIRST_SEED + SEEDS_OF_A_SLICE))
    rate = found.runs / (time.monotonic() - began_s)
    return Measurement(
        "simulate_machine", "runs/s", [rate], n=found.runs, goal=SEEDS_IN_CI / CI_S, higher_is_better=True
    )
