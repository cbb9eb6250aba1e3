"""How soon a process that does nothing else has read what a node tells: the floor below any engine.

`python -m benchmarks.bare_reader WS_URL TOLD LOW_LATENCY` prints one JSON object: microseconds, from the
node's stamp. With LOW_LATENCY on its loop never sleeps, as the engine's does not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

import uvloop
from solders.pubkey import Pubkey

from benchmarks.idle_engine import WATCHED
from engine.chain.feed_connection import requests
from engine.chain.frames import AccountNews, FrameReader, WatchedNews
from engine.chain.subscriptions import MESSAGE_BYTES
from engine.chain.websocket import Frame, open_websocket
from engine.protocol.addresses import PROGRAM_ID

DEADLINE_S = 120.0


async def measure(url: str, told: int, low_latency: str) -> list[float]:
    """The latencies of so many."""
    read, read_us, done = FrameReader().read, list[float](), asyncio.Event()

    def on_frames(frames: Sequence[Frame]) -> None:
        now_ns = time.monotonic_ns()
        news = read(frames[-1])
        if isinstance(news, (AccountNews, WatchedNews)):
            read_us.append((now_ns - news.lamports) / 1e3)
        if len(read_us) >= told:
            done.set()

    async with asyncio.timeout(DEADLINE_S):
        socket = await open_websocket(url, on_frames, MESSAGE_BYTES)
        for request in requests(PROGRAM_ID, [Pubkey.from_string(address) for address in WATCHED]):
            socket.send(request)
        if low_latency == "on":
            while not done.is_set():  # noqa: ASYNC110  # not to sleep is what it is there for
                await asyncio.sleep(0)
        await done.wait()
    socket.close()
    return read_us


if __name__ == "__main__":
    print(json.dumps({"read_us": uvloop.run(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3]))}))
