"""Many seeds on every core: what was broken by which seed, and what really happened over all of them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from sim.observer import Violation
from sim.world import simulate

SLICE = 20


@dataclass(slots=True)
class Findings:
    """Of some seeds. Seconds are of one core, and real."""

    runs: int = 0
    core_s: float = 0.0
    virtual_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: dict[int, list[Violation]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        """Take in those of other seeds."""
        self.runs += other.runs
        self.core_s += other.core_s
        self.virtual_s += other.virtual_s
        self.counts += other.counts
        self.violations |= other.violations
        self.digests |= other.digests

    def complaint(self, most: int = 5) -> str:
        """The first violations, each with the command that runs it again; empty without any."""
        lines = []
        for seed, violations in sorted(self.violations.items())[:most]:
            lines.append(f"seed {seed}: python tests/simulation/replay.py {seed}")
            lines += [f"  {each.at_s:.3f} s  {each.invariant}: {each.what}" for each in violations[:3]]
        return "\n".join(lines)


def run_slice(seeds: Sequence[int], bug: str | None = None) -> Findings:
    """Run seeds one after the other in this process."""
    found = Findings()
    began_s = time.process_time()
    for seed in seeds:
        verdict = simulate(seed, bug=bug)
        found.runs += 1
        found.virtual_s += verdict.virtual_s
        found.counts += verdict.counts
        found.digests[seed] = verdict.digest
        if verdict.violations:
            found.violations[seed] = verdict.violations
    gc.collect()
    found.core_s = time.process_time() - began_s
    return found


def run_campaign(seeds: Sequence[int], cores: int | None = None) -> Findings:
    """Run seeds on every core, in processes of their own: a run changes settings of its process."""
    slices = [seeds[start : start + SLICE] for start in range(0, len(seeds), SLICE)]
    found = Findings()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores or os.cpu_count(), context, initializer=_settle) as processes:
        for part in processes.map(run_slice, slices):
            found.add(part)
    return found


def first_violating(bug: str, promise: str, seeds: Iterable[int]) -> int | None:
    """The first seed in which a planted bug breaks this promise, None when none does."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_settle) as process:
        return process.submit(_search, bug, promise, list(seeds)).result()


def _search(bug: str, promise: str, seeds: Sequence[int]) -> int | None:
    for seed in seeds:
        if any(each.invariant == promise for each in simulate(seed, bug=bug).violations):
            return seed
    return None


def _settle() -> None:
    """The collector would walk through the libraries again and again: it looks once after each slice."""
    gc.collect()
    gc.freeze()
    gc.disable()
