"""Clients under measurement, one a process: `python -m benchmarks.clients NAME URL` prints one JSON object.

A process of its own, so that what one needed in memory is not another's.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Processed
from solana.rpc.models import MemcmpOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.rpc.responses import ProgramNotification

from benchmarks.population import SYMBOLS, loaded, make_accounts
from engine.book.book import Book
from engine.book.holdings import Holdings
from engine.chain.frames import AccountNews
from engine.chain.snapshot import read_positions
from engine.chain.subscriptions import LiveFeed
from engine.clock import SystemClock
from engine.memory import settle
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58, decode_position
from engine.protocol.addresses import PROGRAM_ID
from engine.telemetry.loop_lag import PERIOD_S as LAG_PERIOD_S
from engine.telemetry.loop_lag import LoopLag

BOOK = 100_000
_POSITIONS_ONLY = MemcmpOpts(offset=0, bytes=POSITION_DISCRIMINATOR_BASE58)


def _rss() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


async def load(url: str) -> dict[str, float]:
    """A snapshot over HTTP into an empty book; what is kept is counted after a first, small one."""
    loaded(20_000)
    settle()
    before, lag = _rss(), LoopLag(SystemClock())
    watching = asyncio.create_task(lag.run())
    holdings = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID)
    began = time.perf_counter()
    snapshot = holdings.begin_snapshot(1)
    async for addresses, accounts in read_positions(url, PROGRAM_ID, 1):
        holdings.take(snapshot, addresses, accounts)
        await asyncio.sleep(0)
    for _ in holdings.finish(snapshot):
        await asyncio.sleep(0)
    took_s = time.perf_counter() - began
    watching.cancel()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del snapshot, addresses, accounts
    settle()
    kept = _rss() - before
    return {
        "count": len(holdings.book),
        "seconds": took_s,
        "peak_mb": peak / 1e6,
        "kept_bytes": kept / len(holdings.book),
        "longest_lag_ms": lag.longest_us / 1e3,
    }


async def reload(url: str) -> dict[str, float]:
    """A snapshot over HTTP into a book that holds the same positions, a tenth of them as they were before."""
    holdings, accounts = Holdings(Book(SYMBOLS, 1300), PROGRAM_ID), make_accounts(BOOK)
    snapshot = holdings.begin_snapshot(0)
    for at in range(0, BOOK, 1000):
        addresses, data = (each[at : at + 1000] for each in accounts)
        if at % 10_000 == 0:  # other collaterals
            data = [each[:59] + bytes([each[59] ^ 1]) + each[60:] for each in data]
        holdings.take(snapshot, addresses, data)
    for _ in holdings.finish(snapshot):
        pass
    del accounts
    settle()
    lag = LoopLag(SystemClock())
    watching = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    snapshot = holdings.begin_snapshot(1)
    async for addresses, data in read_positions(url, PROGRAM_ID, 1):
        holdings.take(snapshot, addresses, data)
        await asyncio.sleep(0)
    for _ in holdings.finish(snapshot):
        await asyncio.sleep(0)
    watching.cancel()
    return {"count": len(holdings.book), "longest_lag_ms": lag.longest_us / 1e3}


async def load_at_once(url: str) -> dict[str, float]:
    """The same answer read and decoded whole; the loop is held up as long as that takes."""
    lag = LoopLag(SystemClock())
    watching = asyncio.create_task(lag.run())
    async with AsyncClient(url, timeout=600) as client:
        answer = await client.get_program_accounts(PROGRAM_ID, Processed, "base64", filters=[_POSITIONS_ONLY])
    await asyncio.sleep(2 * LAG_PERIOD_S)
    watching.cancel()
    return {"count": len(answer.value), "longest_lag_ms": lag.longest_us / 1e3}


async def load_plainly(url: str) -> dict[str, float]:
    """solana-py's AsyncClient, an object for each position."""
    settle()
    before = _rss()
    began = time.perf_counter()
    async with AsyncClient(url, timeout=600) as client:
        answer = await client.get_program_accounts(PROGRAM_ID, Processed, "base64", filters=[_POSITIONS_ONLY])
    positions = {
        keyed.pubkey: decode_position(keyed.pubkey, bytes(keyed.account.data), 1) for keyed in answer.value
    }
    took_s = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    del answer
    settle()
    kept = _rss() - before
    return {
        "count": len(positions),
        "seconds": took_s,
        "peak_mb": peak / 1e6,
        "kept_bytes": kept / len(positions),
    }


class Taker:
    """Takes what the feed tells into a book, and the time."""

    def __init__(self, expected: int) -> None:
        self.holdings = loaded(BOOK)
        self.expected = expected
        self.count = 0
        self.began = 0.0
        self.done = asyncio.Event()

    def on_connected(self) -> None:
        """Nothing was missed here."""

    def on_disconnected(self, reason: str) -> None:
        """Then the count is never reached."""

    def on_doubt(self, reason: str) -> None:
        """Slots are not told here."""

    def on_slot(self, slot: int) -> None:
        """Slots are not told here."""

    def on_accounts(self, news: Sequence[AccountNews]) -> None:
        """Count what the book took as news."""
        self.began = self.began or time.perf_counter()
        self.count += len(
            self.holdings.apply_many([(each.address, each.data, each.owner, each.slot) for each in news])
        )
        if self.count >= self.expected:
            self.done.set()


async def hear(url: str, expected: int) -> dict[str, float]:
    """Notifications through the engine's feed into a book."""
    taker = Taker(expected)
    settle()
    feed = LiveFeed(lambda: url, PROGRAM_ID, [], taker, SystemClock())
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(120):
        await taker.done.wait()
    took_s = time.perf_counter() - taker.began
    task.cancel()
    return {"count": taker.count, "seconds": took_s}


async def hear_plainly(url: str, expected: int) -> dict[str, float]:
    """Notifications through solana-py's client, decoded one by one into the same book."""
    holdings = loaded(BOOK)
    settle()
    async with SolanaWsClient(url, notification_queue_size=10_000_000) as client:
        await client.program_subscribe(
            program_id=PROGRAM_ID, commitment=Processed, encoding="base64", filters=[_POSITIONS_ONLY]
        )
        began = 0.0
        heard = 0
        while heard < expected:
            keyed: Any = await client.recv()
            if not isinstance(keyed, ProgramNotification):
                continue
            heard += 1
            began = began or time.perf_counter()
            value, slot = keyed.result.value, keyed.result.context.slot
            holdings.apply(value.pubkey, bytes(value.account.data), value.account.owner, slot)
        took_s = time.perf_counter() - began
    return {"count": expected, "seconds": took_s}


CLIENTS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
    "load": load,
    "load_plainly": load_plainly,
    "load_at_once": load_at_once,
    "reload": reload,
    "hear": hear,
    "hear_plainly": hear_plainly,
}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(CLIENTS[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:])))))
