"""Latency from detecting a position to its transaction's first bytes out, while a market crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from statistics import quantiles

from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import Failed, ask, run_summary, sandbox
from benchmarks.sequential import Sequential, liquidate_one_by_one, read_wallet

RUNS = 3
GOAL_P50_MS = 50.0  # what the original's operators are told to expect
GOAL_P99_MS = 100.0  # and at which they are to be alarmed
MARKET = ["--seed", "7", "--positions", "1000", "--scenario", "crash"]
BASELINE_S = 25.0
BASELINE_NAME = "sequential polling loop, from its own poll to sendTransaction answered"


def measure() -> Iterator[Measurement]:
    """Three crashes of a thousand positions for the engine, one for the baseline."""
    runs = [run_summary([*MARKET, "--duration", "25"])["latency_ms"]["detect_to_submit"] for _ in range(RUNS)]
    baseline = asyncio.run(_baseline())
    if len(baseline.detect_to_submit_ms) < 10:
        raise Failed("the baseline found fewer than ten positions")
    n = sum(run["count"] for run in runs)
    cuts = quantiles(baseline.detect_to_submit_ms, n=100)
    for name, goal, cut in (("p50", GOAL_P50_MS, cuts[49]), ("p99", GOAL_P99_MS, cuts[98])):
        yield Measurement(
            f"detect_to_submit_{name}",
            "ms",
            [run[name] for run in runs],
            n=n,
            goal=goal,
            baseline=Baseline(BASELINE_NAME, cut),
        )


async def _baseline() -> Sequential:
    async with sandbox(MARKET) as descriptor:
        await ask(descriptor, "sandboxHoldPrices", False)
        return await liquidate_one_by_one(
            descriptor, read_wallet(descriptor), enough=10_000, deadline_s=BASELINE_S
        )
