"""What an engine loses by being looked at: a price to bytes with a console, without, and with one inside."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import quantiles

from benchmarks.console import RUNNING
from benchmarks.console_terminal import Terminal
from benchmarks.execution import ENGINE, WARM_UP_SINGLES, falls_of, market_node, settings_on
from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import engine_with, fresh_home

FALLS = 500  # only the slowest one of a hundred is looked at: of few it is the disk's
RUNS = 3
RATIO = 1.1
INSIDE = [sys.executable, "-m", "benchmarks.console_inside"]


def measure() -> Iterator[Measurement]:
    """The ratio of the 99th percentiles, with and without a console in turns; beside it one inside."""
    without, beside = [], []
    for _ in range(RUNS):
        without.append(asyncio.run(_p99_ms(with_console=False)))
        beside.append(asyncio.run(_p99_ms(with_console=True)))
    inside = asyncio.run(_p99_ms_inside())
    plain = sum(without) / RUNS
    yield Measurement(
        "engine_with_console",
        "ratio of ms p99",
        [each / plain for each in beside],
        n=RUNS * FALLS,
        goal=RATIO,
        baseline=Baseline(f"console in the engine's process (alone: {plain:.2f} ms)", inside / plain),
    )


def _rounds() -> Sequence[int]:
    return [1] * (WARM_UP_SINGLES + FALLS)


@asynccontextmanager
async def _market() -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    """A node, and the environment of an engine on it."""
    async with market_node(_rounds()) as (node, http, ws):
        with fresh_home() as home:
            yield node, {**home, **settings_on(http, ws, Path(home["XDG_STATE_HOME"]).parent)}


async def _p99_ms(*, with_console: bool) -> float:
    async with AsyncExitStack() as stack:
        node, environment = await stack.enter_async_context(_market())
        await stack.enter_async_context(engine_with(environment, ENGINE))
        if with_console:
            console = await stack.enter_async_context(Terminal(environment))
            await console.shows(RUNNING)
        return await _falls_p99_ms(node)


async def _p99_ms_inside() -> float:
    async with _market() as (node, environment), Terminal(environment, INSIDE) as console:
        await console.shows(RUNNING)
        return await _falls_p99_ms(node)


async def _falls_p99_ms(node: asyncio.subprocess.Process) -> float:
    return quantiles((await falls_of(node, _rounds())).single_ms, n=100)[98]
