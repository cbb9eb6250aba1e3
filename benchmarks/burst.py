"""How many positions a second are liquidated when hundreds become liquidatable at the same tick."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import Failed, ask, engine, sandbox
from benchmarks.sequential import Sequential, liquidate_one_by_one, read_wallet
from engine.api import wire
from engine.api.client import EngineClient

RUNS = 3
POSITIONS = 1000
AT_LEAST = 500
# Published for the original: 100 in 8.5 s.
PUBLISHED_PER_S = 11.8
GOAL_PER_S = 10 * PUBLISHED_PER_S
BASELINE_POSITIONS = 20
BASELINE_S = 60.0
DEADLINE_S = 120.0
LOOK_S = 1.0  # a snapshot of a queue of a thousand holds the engine up for 8 ms
# Prices stand still for a while, then fall by 40 % from one tick to the next and stand still again.
STARTS = {"SOL": 150.0, "BTC": 65_000.0, "ETH": 3_200.0}
FALL = 0.6
QUIET_CANDLES, LOW_CANDLES = 2, 400


def measure() -> Iterator[Measurement]:
    """Three bursts for the engine, one for the baseline; a rate is confirmed liquidations over the time from
    the first detection to the last confirmation, as PostgreSQL has them."""
    with tempfile.TemporaryDirectory() as folder:
        market = falling_market(Path(folder), POSITIONS)
        bursts = [asyncio.run(_burst(market)) for _ in range(RUNS)]
        baseline = asyncio.run(_baseline(market))
    yield Measurement(
        "burst_500",
        "liquidations/s",
        [count / seconds for count, seconds in bursts],
        n=sum(count for count, _ in bursts),
        goal=GOAL_PER_S,
        higher_is_better=True,
        baseline=Baseline(
            f"sequential polling loop, measured on {baseline.liquidated} (published for the original: "
            f"{PUBLISHED_PER_S}/s)",
            baseline.per_second,
        ),
    )


def falling_market(folder: Path, positions: int) -> list[str]:
    """The sandbox's flags for a market that falls once; more than half of the positions go under."""
    flags = ["--seed", "11", "--positions", str(positions), "--scenario", "replay"]
    for symbol, price in STARTS.items():
        instant = datetime(2026, 1, 1, tzinfo=UTC)
        rows = ["timestamp_utc_iso,open,high,low,close,volume"]
        for candle in range(QUIET_CANDLES + LOW_CANDLES):
            at = price if candle < QUIET_CANDLES else price * FALL
            rows.append(f"{(instant + timedelta(minutes=candle)).isoformat()},{at},{at},{at},{at},1")
        file = folder / f"{symbol}.csv"
        file.write_text("\n".join(rows) + "\n")
        flags += ["--prices", f"{symbol}={file}"]
    return flags


async def _burst(market: list[str]) -> tuple[int, float]:
    """How many were liquidated, and in how many seconds."""
    # A fall this deep at one tick would wait for two further updates; here it is meant.
    async with sandbox(market) as descriptor, engine(descriptor, MAX_JUMP_BPS="100000") as client:
        await ask(descriptor, "sandboxHoldPrices", False)
        await until(client, lambda snapshot: snapshot.totals.full + snapshot.totals.partial > 0)
        await until(client, is_over)
        connection = await asyncpg.connect(descriptor.database_url, timeout=10)
        try:
            row = await connection.fetchrow(
                "SELECT count(*) AS n, extract(epoch FROM max(timestamp) - min(created_at)) AS seconds "
                "FROM liquidations WHERE error_message IS NULL"
            )
        finally:
            await connection.close()
    if row["n"] < AT_LEAST:
        raise Failed(f"only {row['n']} positions were liquidated")
    return row["n"], float(row["seconds"])


def is_over(snapshot: wire.Snapshot) -> bool:
    """Whether nothing is left to be liquidated, followed or shipped."""
    idle = not snapshot.queue_length and not snapshot.in_flight and not snapshot.database.backlog
    return idle and not snapshot.book.liquidatable


async def until(client: EngineClient, condition: Callable[[wire.Snapshot], bool]) -> None:
    """Look now and then until the condition holds; raises Failed when that takes too long."""
    end = time.monotonic() + DEADLINE_S
    while not condition(await client.snapshot()):
        if time.monotonic() > end:
            raise Failed(f"the burst was not over in {DEADLINE_S:.0f} s")
        await asyncio.sleep(LOOK_S)


async def _baseline(market: list[str]) -> Sequential:
    async with sandbox(market) as descriptor:
        await ask(descriptor, "sandboxHoldPrices", False)
        done = await liquidate_one_by_one(
            descriptor, read_wallet(descriptor), enough=BASELINE_POSITIONS, deadline_s=BASELINE_S
        )
    if not done.liquidated:
        raise Failed("the baseline liquidated nothing")
    return done
