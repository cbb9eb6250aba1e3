"""From a price's frame to the bytes of the transactions that it calls for, at a stand-in node's socket.

The engine is the whole program in its own process, with its database and its journal on disk: before any of
these bytes leaves, the account was read again and the intent is durable.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from solders.keypair import Keypair

from benchmarks.measurement import AWAKE, Baseline, Measurement
from benchmarks.processes import Failed, command, engine_with, fresh_home

SINGLES, BURSTS, BURST = 400, 60, 32
WARM_UP_SINGLES, WARM_UP_BURSTS = 20, 3
RUNS = 3
PAUSE_S, BURST_PAUSE_S = 0.03, 0.15
FRAME_P50_MS, FRAME_P99_MS, BURST_P50_MS = 1.5, 6.0, 8.0
BASELINE = "the same engine, account read and transaction sent by solana-py's AsyncClient"
ENGINE = command("--no-ui")
PLAIN = [sys.executable, "-m", "benchmarks.plain_engine"]
BARE = [sys.executable, "-m", "benchmarks.bare_sender"]
START_S, LINE_S = 20.0, 40.0


@dataclass(slots=True)
class Falls:
    """How long after the frame: one transaction each, and the last of each burst."""

    single_ms: list[float] = field(default_factory=list)
    burst_ms: list[float] = field(default_factory=list)


def measure() -> Iterator[Measurement]:
    """Three runs of the engine in each setting, one of the baseline, one without an engine; new processes."""
    runs = {awake: [asyncio.run(_run(ENGINE, awake)) for _ in range(RUNS)] for awake in ("off", "on")}
    plain = asyncio.run(_run(PLAIN, "off"))
    bare = asyncio.run(_run_bare())
    yield from _measured(runs["off"], plain, "")
    yield from _measured(runs["on"], plain, "_awake")
    # What sockets and the disk of this machine take by themselves: the engine cannot be quicker.
    least = {
        "frame_to_bytes_bare": ("ms p50", median(bare.single_ms), SINGLES, FRAME_P50_MS),
        "frame_to_bytes_p99_bare": ("ms p99", _p99(bare.single_ms), SINGLES, FRAME_P99_MS),
        "burst_32_bare": ("ms p50", median(bare.burst_ms), BURSTS * BURST, BURST_P50_MS),
    }
    for name, (unit, value, n, goal) in least.items():
        yield Measurement(name, unit, [value], n=n, goal=goal)


def _measured(runs: Sequence[Falls], plain: Falls, suffix: str) -> Iterator[Measurement]:
    """One setting's figures; `_awake` are those of LOW_LATENCY=on."""
    setting = AWAKE if suffix else ""
    yield Measurement(
        f"frame_to_bytes{suffix}",
        "ms p50",
        [median(each.single_ms) for each in runs],
        n=RUNS * SINGLES,
        goal=FRAME_P50_MS,
        baseline=Baseline(BASELINE, median(plain.single_ms)),
        setting=setting,
    )
    yield Measurement(
        f"frame_to_bytes_p99{suffix}",
        "ms p99",
        [_p99(each.single_ms) for each in runs],
        n=RUNS * SINGLES,
        goal=FRAME_P99_MS,
        baseline=Baseline(BASELINE, _p99(plain.single_ms)),
        setting=setting,
    )
    yield Measurement(
        f"burst_32{suffix}",
        "ms p50",
        [median(each.burst_ms) for each in runs],
        n=RUNS * BURSTS * BURST,
        goal=BURST_P50_MS,
        baseline=Baseline(BASELINE, median(plain.burst_ms)),
        setting=setting,
    )


def _p99(samples: Sequence[float]) -> float:
    return quantiles(samples, n=100)[98]


def _rounds() -> list[int]:
    """How many positions each fall reaches: one at a time, and then bursts."""
    return [1] * (WARM_UP_SINGLES + SINGLES) + [BURST] * (WARM_UP_BURSTS + BURSTS)


async def _run(program: Sequence[str], low_latency: str) -> Falls:
    """One engine on one node, with this LOW_LATENCY."""
    async with market_node(_rounds()) as (node, http, ws):
        with fresh_home() as home:
            settings = settings_on(http, ws, Path(home["XDG_STATE_HOME"]).parent)
            async with engine_with({**home, **settings, "LOW_LATENCY": low_latency}, program):
                return await falls_of(node, _rounds())


async def _run_bare() -> Falls:
    """The same falls and the same bytes without an engine."""
    async with market_node(_rounds()) as (node, http, ws):
        with fresh_home() as home:
            folder = Path(home["XDG_STATE_HOME"]).parent
            sender = await asyncio.create_subprocess_exec(
                *BARE,
                str(http),
                str(ws),
                str(folder),
                json.dumps(_rounds()),
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                assert sender.stdout is not None
                async with asyncio.timeout(START_S):
                    await sender.stdout.readline()
                return await falls_of(node, _rounds())
            finally:
                if sender.returncode is None:
                    sender.terminate()
                await sender.wait()


@asynccontextmanager
async def market_node(rounds: Sequence[int]) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    """A stand-in node whose market falls in these rounds, and the ports of its HTTP and WebSocket."""
    node = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.execution_node",
        json.dumps(rounds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        http, ws = await line_of(node, START_S)
        yield node, http, ws
    finally:
        assert node.stdin is not None
        node.stdin.close()
        await node.wait()


def settings_on(http: int, ws: int, folder: Path) -> dict[str, str]:
    """Those of an engine on a stand-in node with these ports, with a key of its own in the folder."""
    wallet = folder / "wallet.json"
    wallet.touch(mode=0o600)
    wallet.write_text(json.dumps(list(bytes(Keypair()))))
    return {
        "SOLANA_RPC_URL": f"http://127.0.0.1:{http}/",
        "SOLANA_WS_URL": f"ws://127.0.0.1:{ws}/",
        "WALLET_PATH": str(wallet),
        "RPC_REQUESTS_PER_S": "100000",
    }


async def falls_of(node: asyncio.subprocess.Process, rounds: Sequence[int]) -> Falls:
    """Let the market fall, round by round, and take the times; the first ones of each kind warm it up."""
    falls = Falls()
    for number, count in enumerate(rounds):
        await asyncio.sleep(PAUSE_S if count == 1 else BURST_PAUSE_S)
        assert node.stdin is not None
        node.stdin.write(f"{number} {count}\n".encode())
        took = await line_of(node, LINE_S)
        if count == 1 and number >= WARM_UP_SINGLES:
            falls.single_ms.append(took["first_us"] / 1e3)
        elif count > 1 and number >= WARM_UP_SINGLES + SINGLES + WARM_UP_BURSTS:
            falls.burst_ms.append(took["last_us"] / 1e3)
    return falls


async def line_of(process: asyncio.subprocess.Process, deadline_s: float) -> Any:
    """The next line of JSON that it prints; raises Failed when it ends instead."""
    assert process.stdout is not None
    async with asyncio.timeout(deadline_s):
        line = await process.stdout.readline()
    if not line:
        raise Failed("a process beside the engine broke")
    return json.loads(line)
