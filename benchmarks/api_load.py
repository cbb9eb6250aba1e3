"""What readers of the API cost an engine that works, and what they get: 100,000 positions, falling prices.

The engine, the stand-in node, the readers and a plain server of the same answers are four processes. By
turns nobody reads, programs ask as fast as they are answered, the same number of questions goes to the plain
server beside the engine, 200 readers are told the news, and 200 requests are held half said while broken ones
are thrown; all the while each fall of the price calls for a liquidation, whose bytes are timed at the node's
socket. The turns are short and end before an engine reads all its positions again, as it does each minute: a
slow moment of the machine meets every kind of turn, and what is left between the kinds is what the readers
make.

What programs that ask cost an engine is told against the same questions to the plain server: they and the
answers they get take the same processors in either case, and on a machine of their own they would not.
Against nobody who asks at all stands beside it.

The engine's state and its database are in memory, in every kind of turn: readers touch no disk, and the 99th
percentile of a disk's flushes is another one each minute, greater than what is looked for.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.api_clients import p99
from benchmarks.crowded_node import CROWD
from benchmarks.execution import FRAME_P99_MS, line_of, settings_on
from benchmarks.measurement import Baseline, Measurement
from benchmarks.processes import Failed, command, engine_with, fresh_home
from engine.store.embedded import embedded_postgres

PATHS = ("/metrics", "/liquidations/pending", "/stats")
CONNECTIONS, READERS, HELD = 12, 200, 200
RUNS, TURNS, TURN_S = 6, 7, 1.2
ROUNDS, WARM_UP, PAUSE_S = 3_600, 40, 0.015
STARTS = 3
PER_S, RATIO, ANSWER_MS, NEWS_MS, READY_S = 500.0, 1.2, 50.0, 250.0, 3.0
LINE_S = 40.0
IN_MEMORY, MEMORY = "state in memory", Path("/dev/shm")  # noqa: S108  # a folder of our own in it
PLAIN = "aiohttp with the same bytes, no engine"


@dataclass(slots=True)
class Found:
    """What the turns found: milliseconds from price to bytes, and what the readers got."""

    alone_ms: list[float] = field(default_factory=list)
    asked_ms: list[float] = field(default_factory=list)
    beside_ms: list[float] = field(default_factory=list)  # the questions went to the plain server
    told_ms: list[float] = field(default_factory=list)
    held_ms: list[float] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    beside: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)


def measure() -> Iterator[Measurement]:
    """Six engines; each kind of turn has its share of what else the machine does.

    A ratio is of the 99th percentiles over all turns of a kind: those of single turns are their one slowest
    sample, and the median of such ratios wanders more.
    """
    if not MEMORY.is_dir():
        raise Failed(f"the engine's state has to be in memory, and there is no {MEMORY}")
    found = Found()
    for _ in range(RUNS):
        asyncio.run(_run(found))
    if any(each["bad"] for each in found.asked) or not all(each["whole"] for each in found.told):
        raise Failed("an answer was a refusal, or news were lost")
    if any(each["faults"] or not each["refused"] for each in found.held):
        raise Failed("a broken request was not refused as one")
    alone_ms, beside_ms = p99(found.alone_ms), p99(found.beside_ms)
    answers = sum(each["answers"] for each in found.asked)
    yield Measurement(
        "api_load",
        "answers/s",
        [each["answers"] / each["seconds"] for each in found.asked],
        n=answers,
        goal=PER_S,
        higher_is_better=True,
    )
    for path in PATHS:
        yield Measurement(
            f"api_load_p99_{path.rpartition('/')[2]}",
            "ms p99",
            [each["p99_ms"][path] for each in found.asked],
            n=answers // len(PATHS),
            goal=ANSWER_MS,
            baseline=Baseline(PLAIN, max(each["p99_ms"][path] for each in found.beside)),
        )
    against_nobody = Baseline("against nobody who asks", p99(found.asked_ms) / alone_ms)
    kinds: dict[str, tuple[list[float], float, Baseline | None]] = {
        "api_load_engine": (found.asked_ms, beside_ms, against_nobody),
        "api_ws_200": (found.told_ms, alone_ms, None),
        "api_held_200": (found.held_ms, alone_ms, None),
    }
    for name, (took_ms, against_ms, baseline) in kinds.items():
        yield Measurement(
            name,
            "times price to bytes p99",
            [p99(took_ms) / against_ms],
            n=len(took_ms),
            goal=RATIO,
            baseline=baseline,
            setting=IN_MEMORY,
        )
    yield Measurement(
        "api_price_to_bytes_p99",
        "ms p99",
        [alone_ms],
        n=len(found.alone_ms),
        goal=FRAME_P99_MS,
        setting=IN_MEMORY,
    )
    yield Measurement(
        "api_ws_200_p99",
        "ms p99",
        [each["p99_ms"] for each in found.told],
        n=sum(each["fewest"] for each in found.told) * READERS,
        goal=NEWS_MS,
    )


def measure_ready() -> Iterator[Measurement]:
    """A service that is started again, from its process to its phase `ready`; embedded database included."""
    yield Measurement("ready_100k", "s", asyncio.run(_starts()), n=STARTS, goal=READY_S)


async def _run(found: Found) -> None:
    """The turns of one engine."""
    async with AsyncExitStack() as stack:
        node, http, ws = await stack.enter_async_context(_node())
        home = stack.enter_context(fresh_home(MEMORY))
        home["DATABASE_URL"] = await stack.enter_async_context(embedded_postgres())
        settings = settings_on(http, ws, Path(home["XDG_STATE_HOME"]).parent)
        port = _free_port()
        program = command("--no-ui")
        environment = {**home, **settings, "SERVER_PORT": str(port)}
        await stack.enter_async_context(engine_with(environment, program))
        clients = await stack.enter_async_context(_beside("api_clients", str(port)))
        plain = await stack.enter_async_context(_beside("bare_api", str(port), *PATHS))
        asking = await stack.enter_async_context(_beside("api_clients", str(plain.said)))
        market = _Market(node)
        await market.fall_during(asyncio.sleep(WARM_UP * PAUSE_S * 2))
        for _ in range(TURNS):
            await market.fall_during(asyncio.sleep(TURN_S), found.alone_ms)
            found.asked.append(await clients.during(market, _questions(0), found.asked_ms))
            per_s = int(found.asked[-1]["answers"] / found.asked[-1]["seconds"])
            found.beside.append(await asking.during(market, _questions(per_s), found.beside_ms))
            readers = {"readers": READERS, "seconds": TURN_S}
            found.told.append(await clients.during(market, readers, found.told_ms))
            held = {"held": HELD, "seconds": TURN_S}
            found.held.append(await clients.during(market, held, found.held_ms))


def _questions(per_s: int) -> dict[str, Any]:
    return {"paths": PATHS, "connections": CONNECTIONS, "per_s": per_s, "seconds": TURN_S}


async def _starts() -> list[float]:
    """Seconds of each start but the first, which makes the database."""
    took_s = []
    async with _node() as (_, http, ws):
        with fresh_home() as home:
            settings = settings_on(http, ws, Path(home["XDG_STATE_HOME"]).parent)
            for _ in range(1 + STARTS):
                began = time.monotonic()
                async with engine_with({**home, **settings}, command("--no-ui")) as (client, _):
                    took_s.append(time.monotonic() - began)
                    held = (await client.snapshot()).book.monitored
                if held < CROWD:
                    raise Failed(f"the engine was ready with {held} positions")
    return took_s[1:]


class _Market:
    """Lets the price fall again and again, and notes how long each transaction took to come."""

    def __init__(self, node: asyncio.subprocess.Process) -> None:
        self._node = node
        self._round = 0
        self._read: int | None = None

    async def fall_during(self, work: Any, took_ms: list[float] | None = None) -> Any:
        """Until the work is done; returns what it does."""
        working = asyncio.ensure_future(work)
        while not working.done():
            await asyncio.sleep(PAUSE_S)
            if self._round == ROUNDS:
                raise Failed("the market has no further falls")
            assert self._node.stdin is not None
            self._node.stdin.write(f"{self._round} 1\n".encode())
            self._round += 1
            took = await line_of(self._node, LINE_S)
            if took_ms is not None:
                if took["read"] != (self._read or took["read"]):
                    raise Failed("the engine read everything again between two turns: they are not alike")
                self._read = took["read"]
                took_ms.append(took["first_us"] / 1e3)
        return await working


class _Beside:
    """A process beside the engine that does what a line tells it."""

    def __init__(self, process: asyncio.subprocess.Process, said: Any) -> None:
        self._process = process
        self.said = said

    async def during(self, market: _Market, wanted: dict[str, Any], took_ms: list[float]) -> Any:
        """Have it done while the price falls, once everything is connected; returns what it found."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        await line_of(self._process, LINE_S)
        await market.fall_during(line_of(self._process, TURN_S + LINE_S), took_ms)
        return await line_of(self._process, LINE_S)


@asynccontextmanager
async def _beside(module: str, *arguments: str) -> AsyncIterator[_Beside]:
    async with _process([sys.executable, "-m", f"benchmarks.{module}", *arguments]) as process:
        yield _Beside(process, await line_of(process, LINE_S))


@asynccontextmanager
async def _node() -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    """A stand-in node, and the ports of its HTTP and WebSocket."""
    rounds = json.dumps([1] * ROUNDS)
    async with _process([sys.executable, "-m", "benchmarks.crowded_node", rounds]) as node:
        http, ws = await line_of(node, LINE_S)
        yield node, http, ws


@asynccontextmanager
async def _process(arguments: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that ends with its input."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _free_port() -> int:
    """One that nobody listens on now: the engine has to be asked where it can be found beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
