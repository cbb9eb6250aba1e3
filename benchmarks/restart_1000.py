"""How soon an engine runs again that died with a thousand transactions in flight.

A real engine is killed with SIGKILL while the journal has a thousand open intents, and stays dead until the
chain has finalized their transactions: the hard case, since each has to be read and recorded before the
first decision. The figure counts from the start of the new process to its phase `ready`: the interpreter,
the connections, the journal, the book's snapshot, and for each open intent a status, a getTransaction and a
durable outcome. PostgreSQL runs already (it is the sandbox's), so that its start is not what is measured.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.burst import falling_market, is_over, until
from benchmarks.burst_1000 import ENGINE, POSITIONS, check
from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import Failed, ask, engine_in, fresh_home, sandbox
from engine.api.client import EngineClient
from engine.api.launcher import SandboxDescriptor

RUNS = 3
OPEN_INTENTS = 1_000
GOAL_S = 3.0
FINAL_SLOTS = 40
SLOTS = ["--slot-ms", "150"]  # finality is 31 of them: time enough to have a thousand in flight at once
DEADLINE_S = 60.0


def measure() -> Iterator[Measurement]:
    """Three crashes. After the last one everything is followed to its end and compared with the chain.

    That can take as long as a blockhash lives, 22 s, and is followed by a start with nothing in flight.
    """
    with tempfile.TemporaryDirectory() as folder:
        market = [*falling_market(Path(folder), POSITIONS), *SLOTS]
        runs = [asyncio.run(_crash(market, is_last=number == RUNS)) for number in range(1, RUNS + 1)]
    yield Measurement(
        "restart_1000",
        "s",
        [after_crash_s for after_crash_s, _ in runs],
        n=RUNS * OPEN_INTENTS,
        goal=GOAL_S,
        baseline=Baseline("the same start once nothing was in flight any more", runs[-1][1]),
    )


async def _crash(market: list[str], *, is_last: bool) -> tuple[float, float]:
    """Seconds of the start after the crash, and after the last one of another with nothing in flight."""
    async with sandbox(market) as descriptor:
        with fresh_home() as home:
            async with engine_in(home, descriptor, **ENGINE) as (client, process):
                await ask(descriptor, "sandboxHoldPrices", False)
                await _in_flight(client)
                await ask(descriptor, "sandboxHoldPrices", True)
                process.kill()
            await _finalized(descriptor)
            began = time.monotonic()
            async with engine_in(home, descriptor, **ENGINE) as (client, _):
                after_crash_s = time.monotonic() - began
                if not is_last:
                    return after_crash_s, 0.0
                await until(client, is_over)
            await check(descriptor)
            began = time.monotonic()
            async with engine_in(home, descriptor, **ENGINE):
                idle_s = time.monotonic() - began
    return after_crash_s, idle_s


async def _in_flight(client: EngineClient) -> None:
    end = time.monotonic() + DEADLINE_S
    while (await client.snapshot()).in_flight < OPEN_INTENTS:
        if time.monotonic() > end:
            raise Failed(f"{OPEN_INTENTS} transactions were never in flight at the same time")
        await asyncio.sleep(0.02)


async def _finalized(descriptor: SandboxDescriptor) -> None:
    """Wait until what landed so far is final."""
    slot = await ask(descriptor, "getSlot")
    end = time.monotonic() + DEADLINE_S
    while await ask(descriptor, "getSlot") < slot + FINAL_SLOTS:
        if time.monotonic() > end:
            raise Failed("the sandbox makes no slots")
        await asyncio.sleep(0.1)
