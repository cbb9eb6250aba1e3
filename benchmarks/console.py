"""What a console costs its terminal and its machine in a calm, and how soon it shows something."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.console_terminal import CONSOLE, Terminal
from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import Failed, command, engine_with, fresh_home
from engine.api.client import EngineClient

MARKET = ("--seed", "7", "--positions", "800", "--scenario", "calm")
STOCK = (sys.executable, "-m", "benchmarks.stock_table")
ROWS = 30
SAMPLES, SAMPLE_S, SETTLE_S = 3, 10.0, 4.0
STARTS = 10
KB_PER_S, CPU_PERCENT, START_S = 4.0, 6.0, 1.0
RUNNING = "● RUNNING"
_ROWS_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes to the terminal, and the process's share of one processor."""

    kb_per_s: float
    cpu_percent: float


def measure() -> Iterator[Measurement]:
    """The main screen of a live market once a second; beside it the same rows in Textual's own table."""
    ours, stock = asyncio.run(_costs())
    n = int(SAMPLES * SAMPLE_S)
    kb, cpu = [each.kb_per_s for each in ours], [each.cpu_percent for each in ours]
    name = "the same rows in Textual's DataTable"
    yield Measurement("console_1hz", "kB/s", kb, n=n, goal=KB_PER_S, baseline=Baseline(name, stock.kb_per_s))
    yield Measurement(
        "console_1hz_cpu", "%", cpu, n=n, goal=CPU_PERCENT, baseline=Baseline(name, stock.cpu_percent)
    )


def measure_start() -> Iterator[Measurement]:
    """From the command to the first data of an engine that runs, on the screen."""
    took_s = asyncio.run(_starts())
    yield Measurement("console_start", "s", took_s, n=len(took_s), goal=START_S)


@asynccontextmanager
async def live_engine(*market: str) -> AsyncIterator[tuple[EngineClient, Mapping[str, str]]]:
    """A ready engine on a market of its own, a client of it, and the environment for its consoles."""
    with fresh_home() as home:
        async with engine_with(home, command("--sandbox", "--no-ui", *market)) as (client, _):
            yield client, home


async def cost_of(terminal: Terminal, seconds: float) -> Cost:
    """What this console writes and computes in so many seconds."""
    terminal.forget()
    before_s = terminal.cpu_s()
    await asyncio.sleep(seconds)
    return Cost(terminal.written / seconds / 1e3, 100 * (terminal.cpu_s() - before_s) / seconds)


async def _costs() -> tuple[Sequence[Cost], Cost]:
    async with live_engine(*MARKET) as (client, home):
        await _many_rows(client)
        async with Terminal(home, CONSOLE) as console:
            await console.shows(RUNNING)
            await asyncio.sleep(SETTLE_S)
            ours = [await cost_of(console, SAMPLE_S) for _ in range(SAMPLES)]
        async with Terminal(home, [*STOCK, str(client.socket_path)]) as stock:
            await asyncio.sleep(SETTLE_S)
            return ours, await cost_of(stock, SAMPLE_S)


async def _many_rows(client: EngineClient) -> None:
    try:
        async with asyncio.timeout(_ROWS_DEADLINE_S):
            async for snapshot in client.stream(200):
                if len(snapshot.at_risk) >= ROWS:
                    return
    except TimeoutError:
        raise Failed(f"fewer than {ROWS} positions were at risk") from None


async def _starts() -> list[float]:
    async with live_engine(*MARKET) as (_, home):
        took_s: list[float] = []
        for _ in range(STARTS):
            async with Terminal(home, CONSOLE) as console:
                took_s.append(await console.shows(RUNNING) - console.started_s)
        return took_s
