"""How soon an idle engine has in its queue what a node tells: its real parts, from the socket on.

`python -m benchmarks.idle_engine HTTP_URL WS_URL TOLD LOW_LATENCY` prints one JSON object: microseconds, by
what was told.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.chain.feed_connection import Listener
from engine.chain.frames import AccountNews
from engine.chain.pool import PoolLimits, RpcPool
from engine.chain.sender import Sender
from engine.chain.subscriptions import LiveFeeds
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState
from engine.domain import Generation, Position, Side
from engine.journal.journal import Journal
from engine.liquidation.queue import Stage
from engine.memory import settle
from engine.parts import Parts
from engine.protocol.addresses import FEEDS
from engine.runtime import SWITCH_INTERVAL_S
from engine.settings import Settings, load_settings
from engine.telemetry.logs import configure_logging
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner

T = TypeVar("T")

MARK_E6 = 60_000 * 10**6
RESTING_E6, NEAR_E6 = MARK_E6, 59_000 * 10**6
COUNT = 20_000
DEADLINE_S = 120.0
WATCHED = {str(feed.account): symbol for symbol, feed in FEEDS.items()}


def _position(number: int, collateral_e6: int, size_e6: int = 10**6) -> Position:
    return Position(
        address=Pubkey.from_bytes(number.to_bytes(32, "big")),
        owner=Pubkey.from_bytes(bytes([9]) * 32),
        symbol="BTC/USD",
        side=Side.LONG,
        size_e6=size_e6,
        collateral_e6=collateral_e6,
        entry_price_e6=MARK_E6,
        leverage=20,
        maintenance_margin_e6=0,
        is_liquidated=False,
        created_at_s=1_750_000_000,
        generation=Generation.DOCUMENTED,
        slot=1,
    )


CROSSING = _position(1, 2_000 * 10**6)
"""Liquidatable below 59,487: the one that a price of NEAR_E6 crosses."""
FAR = [_position(number, 30_000 * 10**6) for number in range(2, 1_002)]
"""Far from any line, until their collateral is gone."""


def positions() -> list[Position]:
    """What the book of the engine holds."""
    rest = [_position(number, 20_000 * 10**6 + number) for number in range(1_002, COUNT)]
    return [CROSSING, *FAR, *rest]


class _Shipping:
    """There is no database in this: the queue comes long before it."""

    state = "ok"
    message = ""


class _Stopwatch:
    """Stands before the engine's ingestion, and notes when its queue has taken somebody in."""

    def __init__(self, parts: Parts, told: int) -> None:
        self._parts = parts
        self._told = told
        self._inner: Listener = parts.ingest
        self.account_us: list[float] = []
        self.price_us: list[float] = []
        self.taken_us: list[float] = []  # of account_us, what lies behind the decoded frame
        self._heard: list[AccountNews] = []
        self._queued_ns = 0
        for name in ("offer", "offer_many"):
            setattr(parts.queue, name, self._noting(getattr(parts.queue, name)))
        self.done = asyncio.Event()
        self.on_connected = self._inner.on_connected
        self.on_disconnected = self._inner.on_disconnected
        self.on_doubt = self._inner.on_doubt
        self.on_slot = self._inner.on_slot

    def on_accounts(self, news: Sequence[AccountNews]) -> None:
        """Hand it on; what is in the queue afterwards is there because of it."""
        begun_ns = time.monotonic_ns()
        self._inner.on_accounts(news)
        now_ns = self._queued_ns
        if str(news[-1].address) not in WATCHED and len(self._heard) < 2 * self._told:
            self._heard.append(news[-1])
        for entry in self._parts.queue:
            if entry.stage is Stage.QUEUED:
                kind = self.price_us if entry.address == CROSSING.address else self.account_us
                kind.append((now_ns - news[-1].lamports) / 1e3)
                if kind is self.account_us:
                    self.taken_us.append((now_ns - begun_ns) / 1e3)
        if min(len(self.price_us), len(self.account_us)) >= self._told:
            self.done.set()

    def _noting(self, enter: Callable[..., T]) -> Callable[..., T]:
        """The same way into the queue, with the time at which it was gone."""

        def entered(*arguments: object) -> T:
            result = enter(*arguments)
            self._queued_ns = time.monotonic_ns()
            return result

        return entered

    async def hear_again(self) -> list[float]:
        """The same positions fall and recover once more, one behind the other: microseconds of each fall."""
        again_us = []
        slot = self._parts.ingest.slot
        for told in [msgspec.structs.replace(each, slot=slot) for each in self._heard]:
            begun_ns = time.monotonic_ns()
            self._inner.on_accounts([told])
            took_us = (self._queued_ns - begun_ns) / 1e3
            if any(entry.stage is Stage.QUEUED for entry in self._parts.queue):
                again_us.append(took_us)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return again_us

    async def work(self) -> None:
        """Take from the queue as a worker does, and have it done at once."""
        queue = self._parts.queue
        while True:
            queue.finish(await queue.take())


async def measure(http_url: str, ws_url: str, told: int, low_latency: str) -> dict[str, list[float]]:
    """The latencies of so many of each."""
    settings = load_settings(
        {"SOLANA_RPC_URL": http_url, "SOLANA_WS_URL": ws_url, "LOW_LATENCY": low_latency}
    )
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with RpcPool(settings.rpc_urls, PoolLimits(settings.rpc_budgets), clock) as pool:
            genesis = await pool.genesis_hash()
            journal = Journal.open(Path(folder) / "journal.db", genesis, clock.now_ns)
            try:
                return await _hear(_parts(settings, pool, journal, Path(folder)), settings, told)
            finally:
                await journal.close()


def _parts(settings: Settings, pool: RpcPool, journal: Journal, folder: Path) -> Parts:
    clock = SystemClock()
    first = GateState(1, RUNNING, "engine", clock.now_ns(), "first start")
    gate = Gate.load(
        folder / "gate.json", clock, first_start=first, has_history=False, standing_stop=folder / "STOP"
    )
    return Parts(
        settings=settings,
        signer=KeypairSigner(SecretKey(Keypair()), "a benchmark"),
        chain=pool,
        wire=Sender(pool.healthy, gate, clock, settings.rpc_timeout_s),
        journal=journal,
        gate=gate,
        shipping=_Shipping(),
        clock=clock,
        profile="benchmark",
        cluster="benchmark",
        version="0",
        ask_to_end=lambda: None,
        forget_standing_stop=lambda: None,
    )


async def _hear(parts: Parts, settings: Settings, told: int) -> dict[str, list[float]]:
    """The loops of an engine that has nothing to do; what it queues is done at once."""
    watch = _Stopwatch(parts, told)
    feed = LiveFeeds(
        settings.ws_urls,
        settings.program_id,
        parts.ingest.watched,
        watch,
        parts.clock,
        steady=parts.board.accounts,
        is_fit=parts.fitness.is_fit,
        believes=parts.fitness.believes,
    )
    loops = (parts.ingest.run(), parts.prices.run(), parts.risks.run(), parts.events.run(), watch.work())
    running = [asyncio.ensure_future(loop) for loop in (*loops, parts.loop_lag.run(), feed.run())]
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await parts.ingest.loaded.wait()
            settle()
            parts.detector.enabled = True
            if parts.vigil is not None:
                running.append(asyncio.ensure_future(parts.vigil.run()))
            await watch.done.wait()
        again_us = await watch.hear_again()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return {
        "account_us": watch.account_us[:told],
        "price_us": watch.price_us[:told],
        "taken_us": watch.taken_us[:told],
        "again_us": again_us,
    }


if __name__ == "__main__":
    configure_logging("warning")
    print(json.dumps(uvloop.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))))
