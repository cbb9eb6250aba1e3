"""A console during a crash, and an engine whose consoles are hung up on, not read, and resized meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import quantiles

from benchmarks.console import RUNNING, live_engine
from benchmarks.console_terminal import COLUMNS, ROWS, Terminal
from benchmarks.measurement import Measurement
from benchmarks.processes import Failed
from engine.api import wire
from engine.api.client import EngineClient

MARKET = ("--seed", "7", "--positions", "3000", "--scenario", "crash")
LIQUIDATIONS = 1_000
KB_PER_S, REACTION_P99_MS = 12.0, 100.0
CRASH_DEADLINE_S = 60.0
BETWEEN_KEYS_S = 0.03
ENOUGH_KEYS = 200
# The key of a pane, and what is written anew when it gets the keys: its title lights up.
KEYS = ((b"2", "2 QUEUE"), (b"3", "3 FAILED"), (b"1", "1 AT RISK"))
STALL_S, RESIZES = 30.0, 1_000
_AFTERWARDS_S = 20.0
_ON_HANGUP = 128 + 1


def measure() -> Iterator[Measurement]:
    """Bytes to the terminal, and how soon it answers to keys, while a thousand positions are liquidated."""
    kb_per_s, reactions_ms, liquidated = asyncio.run(_crash())
    p99_ms = quantiles(reactions_ms, n=100)[98]
    yield Measurement("console_crash", "kB/s", [kb_per_s], n=liquidated, goal=KB_PER_S)
    yield Measurement("console_crash_key_p99", "ms", [p99_ms], n=len(reactions_ms), goal=REACTION_P99_MS)


def measure_lost() -> Iterator[Measurement]:
    """How many of the engine and its three consoles did not come through."""
    wrong = asyncio.run(_lost())
    for each in wrong:
        print(f"terminal_lost: {each}", flush=True)
    yield Measurement("terminal_lost", "not as it should be", [len(wrong)], n=2 + RESIZES, goal=0)


async def _crash() -> tuple[float, list[float], int]:
    async with live_engine(*MARKET) as (client, home), Terminal(home) as console:
        await console.shows(RUNNING)
        before = _done(await client.snapshot())
        console.forget()
        began_s = time.monotonic()
        written, reactions_ms, done = 0, list[float](), before
        while done - before < LIQUIDATIONS or len(reactions_ms) < ENOUGH_KEYS:
            if time.monotonic() - began_s > CRASH_DEADLINE_S:
                raise Failed(f"{done - before} liquidations in {CRASH_DEADLINE_S:.0f} s")
            for key, answer in KEYS:
                await asyncio.sleep(BETWEEN_KEYS_S)
                written += console.written
                reactions_ms.append(await _reaction_ms(console, key, answer))
            done = _done(await client.snapshot())
        written += console.written
        return written / (time.monotonic() - began_s) / 1e3, reactions_ms, done - before


async def _reaction_ms(console: Terminal, key: bytes, answer: str) -> float:
    pressed_s = time.monotonic()
    await console.press(key, until=answer)
    return (time.monotonic() - pressed_s) * 1e3


def _done(snapshot: wire.Snapshot) -> int:
    return snapshot.totals.full + snapshot.totals.partial


async def _lost() -> list[str]:
    """A crash with three consoles: one's terminal goes away, one's is not read, one's changes its size."""
    async with (
        live_engine(*MARKET) as (client, home),
        Terminal(home) as killed,
        Terminal(home) as stalled,
        Terminal(home) as resized,
    ):
        for each in (killed, stalled, resized):
            await each.shows(RUNNING)
        stalled.stall()
        killed.hang_up()
        for number in range(RESIZES):
            resized.resize(*((80, 24) if number % 2 else (COLUMNS - number % 40, ROWS)))
            await asyncio.sleep(STALL_S / RESIZES)
        resized.resize(COLUMNS, ROWS)
        resized.forget()
        stalled.forget()
        stalled.read_on()
        wrong = [
            what
            for what, console in (("stalled", stalled), ("resized", resized))
            if not await _is_alive(console)
        ]
        code = await asyncio.to_thread(killed.process.wait)
        wrong += [f"the console that was hung up on ended with {code}"] if code != _ON_HANGUP else []
        return [*wrong, *await _missed(client)]


async def _is_alive(console: Terminal) -> bool:
    """Whether it shows news and answers to a key."""
    try:
        await console.press(b"2", until="2 QUEUE")
        await console.press(b"1", until="1 AT RISK")
    except Failed:
        return False
    return True


async def _missed(client: EngineClient) -> list[str]:
    """What the engine did not do meanwhile: each position that is liquidatable is in its queue, or failed."""
    deadline_s = time.monotonic() + _AFTERWARDS_S
    while True:
        snapshot = await client.snapshot()
        left = snapshot.book.liquidatable - snapshot.queue_length - snapshot.failed_length
        if left <= 0:
            lag_ms = snapshot.loop_lag.longest_us / 1e3
            return [] if _done(snapshot) else [f"the engine did nothing (longest lag {lag_ms:.0f} ms)"]
        if time.monotonic() > deadline_s:
            return [f"the engine left {left} liquidatable positions"]
        await asyncio.sleep(0.2)
