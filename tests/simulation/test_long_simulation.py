"""Thousands of worlds: SEEDS says how many, FIRST_SEED where they begin."""

from __future__ import annotations

import os

import pytest
from sim.campaign import run_campaign
from sim.swarm import KINDS, PATHS, RARE_PATHS

SEEDS = int(os.environ.get("SEEDS") or "5000")
ENOUGH_FOR_ALL = 2000
FIRST_SEED = int(os.environ.get("FIRST_SEED") or "1000")


@pytest.mark.long
@pytest.mark.timeout(0)
def test_no_promise_is_broken_in_any_of_the_worlds():
    found = run_campaign(range(FIRST_SEED, FIRST_SEED + SEEDS))
    print(
        f"\n{found.runs} worlds, {found.virtual_s / 3600:.1f} hours in them, "
        f"{found.runs / found.core_s:.1f} a second and core"
    )
    print(", ".join(f"{name}: {count}" for name, count in sorted(found.counts.items())))
    never = [name for name in (*KINDS, *PATHS, *RARE_PATHS) if not found.counts[name]]
    assert not never or SEEDS < ENOUGH_FOR_ALL, f"none of these happened: {never}"
    assert not found.violations, found.complaint(20) + "\nAdd the seeds to tests/simulation/seeds.txt"
