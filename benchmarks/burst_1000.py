"""A thousand positions go under at one tick, on slots of 50 ms: how fast they are confirmed and recorded.

The engine is a process of its own on a sandbox of its own, which runs the program, its node and PostgreSQL on
the same cores. What chain and database say afterwards is compared as `liquidation-engine verify` does it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from solders.pubkey import Pubkey

from benchmarks.burst import PUBLISHED_PER_S, falling_market, is_over, until
from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import Failed, ask, engine, sandbox
from benchmarks.sequential import Sequential, liquidate_one_by_one, read_wallet
from engine.api.launcher import SandboxDescriptor
from engine.verify import verify

RUNS = 3
POSITIONS = 1_950  # of which this fall takes a good thousand
AT_LEAST = 1_000
GOAL_PER_S = 400.0
BASELINE_POSITIONS = 20
BASELINE_S = 60.0
SLOTS = ["--slot-ms", "50"]
ENGINE = {
    # A fall this deep at one tick would wait for two further updates; here it is meant.
    "MAX_JUMP_BPS": "100000",
    # The node is the engine's own. Of one with 500 requests a second, a thousand liquidations need five.
    "RPC_REQUESTS_PER_S": "20000",
    # So many share one read of the accounts and one commit. With more of them the sending is what waits.
    "WORKERS": "64",
}

# From the first detection to the last confirmation, and to the last outcome that was durable in the journal:
# that is after finality, 31 slots later. Every row is in PostgreSQL by the time this is asked.
FIGURES = """
SELECT count(*) AS n,
       extract(epoch FROM max(l.timestamp) - min(l.created_at)) AS confirmed_s,
       extract(epoch FROM max(i.ended_at) - min(l.created_at)) AS recorded_s
FROM liquidations l JOIN intents i USING (signature)
WHERE l.error_message IS NULL
"""


@dataclass(frozen=True, slots=True)
class Burst:
    """How many were liquidated, and the seconds until the last was confirmed, and recorded."""

    count: int
    confirmed_s: float
    recorded_s: float


def measure() -> Iterator[Measurement]:
    """Three bursts for the engine and one for the baseline; a violation fails them all."""
    with tempfile.TemporaryDirectory() as folder:
        market = [*falling_market(Path(folder), POSITIONS), *SLOTS]
        bursts = [asyncio.run(_burst(market)) for _ in range(RUNS)]
        baseline = asyncio.run(_baseline(market))
    beside = Baseline(
        f"sequential polling loop on the same slots, measured on {baseline.liquidated} and kept nowhere "
        f"(published for the original: {PUBLISHED_PER_S}/s)",
        baseline.per_second,
    )
    n = sum(burst.count for burst in bursts)
    for name, samples in (
        ("burst_1000", [burst.count / burst.confirmed_s for burst in bursts]),
        ("burst_1000_recorded", [burst.count / burst.recorded_s for burst in bursts]),
    ):
        yield Measurement(
            name, "liquidations/s", samples, n=n, goal=GOAL_PER_S, higher_is_better=True, baseline=beside
        )


async def _burst(market: list[str]) -> Burst:
    async with sandbox(market) as descriptor:
        async with engine(descriptor, **ENGINE) as client:
            await ask(descriptor, "sandboxHoldPrices", False)
            await until(client, lambda snapshot: snapshot.totals.full + snapshot.totals.partial > 0)
            await until(client, is_over)
        burst = await _figures(descriptor.database_url)
        await check(descriptor)
    if burst.count < AT_LEAST:
        raise Failed(f"only {burst.count} positions were liquidated")
    return burst


async def _figures(database_url: str) -> Burst:
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        row = await connection.fetchrow(FIGURES)
    finally:
        await connection.close()
    return Burst(row["n"], float(row["confirmed_s"] or 0), float(row["recorded_s"] or 0))


async def check(descriptor: SandboxDescriptor) -> None:
    """Raise Failed when chain and database disagree in anything."""
    report = await verify(
        [descriptor.rpc_url],
        descriptor.database_url,
        read_wallet(descriptor).pubkey(),
        Pubkey.from_string(descriptor.program_id),
    )
    if report.findings:
        raise Failed(f"{len(report.findings)} violations, the first: {report.findings[0]}")


async def _baseline(market: list[str]) -> Sequential:
    async with sandbox(market) as descriptor:
        await ask(descriptor, "sandboxHoldPrices", False)
        done = await liquidate_one_by_one(
            descriptor, read_wallet(descriptor), enough=BASELINE_POSITIONS, deadline_s=BASELINE_S
        )
    if not done.liquidated:
        raise Failed("the baseline liquidated nothing")
    return done
