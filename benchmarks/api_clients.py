"""Programs that read the engine's API over TCP, all in one process: `python -m benchmarks.api_clients PORT`.

They cost as little as can be and let others go first, so that the machine is the server's: readers have
machines of their own. News are kept as they come, and read when the time is over.
A line of JSON on its input says what to do: {"paths": [...], "connections": n, "per_s": r, "seconds": s} asks
for the paths in turn, as soon as each answer is there or `per_s` times a second in sum if that is above 0;
{"readers": n, "seconds": s} reads news; {"held": n, "seconds": s} keeps so many requests half said, and sends
broken ones besides, one behind another with a fiftieth of a second between two.
A line of JSON tells when everything is connected, one when the time is over, and one what was found:
percentiles are the 99th.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from statistics import quantiles
from typing import Any, cast

import msgspec
import uvloop

from engine.chain.websocket import Frame, WebSocket

DEADLINE_S = 10.0  # for one answer
LONGEST_NEWS = 65_536
WHISPER_S = 0.5
BROKEN_APART_S, ANSWERED_S = 0.02, 0.2
SEED = 11
_WHOLE = (
    b"POST /admin/retry-all HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b'Authorization: Bearer 00ff\r\nContent-Length: 21\r\n\r\n{"outcome":"timeout"}'
)
_LENGTH = b"content-length: "
NICE = 5
Begun = Callable[[], None]
Found = Callable[[], Any]  # worked out when it is asked for
_HEAD_END = b"\r\n\r\n"


class _News(msgspec.Struct):
    seq: int
    at_ns: int


class _Asker(asyncio.Protocol):
    """One keep-alive connection that knows when its answer is whole."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._missing: int | None = None
        self._answered: asyncio.Future[bool] | None = None
        self._transport: asyncio.Transport | None = None
        self._is_good = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no common class

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits has no answer."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionError("the server hung up"))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, request: bytes) -> bool:
        """Whether the answer is a 200; raises when there is none in time."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(DEADLINE_S):
            return await self._answered

    def data_received(self, data: bytes) -> None:
        """Some more of the answer."""
        self._received += data
        if self._missing is None:
            end = self._received.find(_HEAD_END)
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            self._missing = end + len(_HEAD_END) + int(head[at:].split(b"\r\n", 1)[0])
            self._is_good = head.startswith(b"http/1.1 200")
        if len(self._received) >= self._missing:
            self._received.clear()
            self._missing = None
            assert self._answered is not None
            self._answered.set_result(self._is_good)


async def ask_on(
    port: int, begun: Begun, *, paths: Sequence[str], connections: int, per_s: int, seconds: float
) -> Found:
    """How many answers there were in which time, how many were no 200, and how long each path took."""
    loop = asyncio.get_running_loop()
    took_ms: dict[str, list[float]] = {path: [] for path in paths}
    bad = 0
    askers = [(await loop.create_connection(_Asker, "127.0.0.1", port))[1] for _ in range(connections)]
    begun()
    began = time.monotonic()
    end = began + seconds
    turns = iter(range(1 << 62))

    async def ask(asker: _Asker) -> None:
        nonlocal bad
        while (now := time.monotonic()) < end:
            turn = next(turns)
            if per_s:
                due = began + turn / per_s
                await asyncio.sleep(max(0.0, due - now))
                now = time.monotonic()
            path = paths[turn % len(paths)]
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
            bad += not await asker.ask(request)
            took_ms[path].append((time.monotonic() - now) * 1e3)

    await asyncio.gather(*map(ask, askers))
    for asker in askers:
        asker.close()
    took_s = time.monotonic() - began
    return lambda: {
        "answers": sum(map(len, took_ms.values())),
        "bad": bad,
        "seconds": took_s,
        "p99_ms": {path: p99(each) for path, each in took_ms.items()},
    }


class _Reader(WebSocket):
    """Keeps what comes and when it came, to be read afterwards."""

    def __init__(self) -> None:
        super().__init__(self._read, LONGEST_NEWS)
        self.numbers: list[int] = []
        self.took_ms: list[float] = []
        self._kept: list[tuple[int, bytes]] = []
        self._at_ns = 0
        self._decode = msgspec.json.Decoder(_News).decode

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        if self.opened.done():
            self._kept.append((time.time_ns(), bytes(self.get_buffer(0)[:nbytes])))
        else:
            self._at_ns = time.time_ns()
            super().buffer_updated(nbytes)

    def read(self) -> None:
        """Read what was kept."""
        for at_ns, data in self._kept:
            self._at_ns = at_ns
            self.get_buffer(0)[: len(data)] = data
            super().buffer_updated(len(data))

    def _read(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            told = self._decode(frame)
            self.numbers.append(told.seq)
            self.took_ms.append((self._at_ns - told.at_ns) / 1e6)


async def read_on(port: int, begun: Begun, readers: int, seconds: float) -> Found:
    """The fewest messages of a reader, whether all numbers were without a hole, and how late they came."""
    loop = asyncio.get_running_loop()
    sockets = [(await loop.create_connection(_Reader, "127.0.0.1", port))[1] for _ in range(readers)]
    for socket in sockets:
        socket.greet(f"ws://127.0.0.1:{port}/ws")
    for socket in sockets:
        await socket.opened
    begun()
    await asyncio.sleep(seconds)

    def found() -> Any:
        for socket in sockets:
            socket.read()
            socket.close()
        read = [socket.numbers for socket in sockets]
        whole = all(each and each == list(range(each[0], each[0] + len(each))) for each in read)
        late_ms = [each for socket in sockets for each in socket.took_ms]
        return {"fewest": min(map(len, read)), "whole": whole, "p99_ms": p99(late_ms)}

    return found


def p99(samples: Sequence[float]) -> float:
    """The 99th percentile."""
    return quantiles(samples, n=100)[98]


async def hold_on(port: int, begun: Begun, held: int, seconds: float) -> Found:
    """How many broken requests were refused, and how many answers were a fault of the server's."""
    chance = random.Random(SEED)  # noqa: S311  # noise, no secret
    refused, faults = 0, 0
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(held)]
    for _, writer in slow:
        writer.write(_WHOLE[:40])
    begun()
    end = time.monotonic() + seconds

    async def whisper() -> None:
        """A byte each time: every request is always about to come."""
        while time.monotonic() < end:
            await asyncio.sleep(WHISPER_S)
            for _, writer in slow:
                writer.write(b"x")

    whispering = asyncio.create_task(whisper())
    while time.monotonic() < end:
        broken = bytearray(_WHOLE)
        for _ in range(3):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes(broken))
        answer = b""
        # What has a length too great, or no end, is waited for by the server as long as by us.
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(ANSWERED_S):
                answer = await reader.read(LONGEST_NEWS)
        kind = answer.partition(b" ")[2][:1]  # of the status; nothing for a connection that is only ended
        refused += kind == b"4"
        faults += kind == b"5"
        writer.close()
        await asyncio.sleep(BROKEN_APART_S)
    await whispering
    for _, writer in slow:
        writer.close()
    return lambda: {"refused": refused, "faults": faults}


async def _serve(port: int) -> None:
    os.nice(NICE)
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted = json.loads(line)
        work = next(work for name, work in _WORK.items() if name in wanted)
        found = await work(port, lambda: print(json.dumps("begun"), flush=True), **wanted)
        print(json.dumps("over"), flush=True)
        print(json.dumps(found()), flush=True)


_WORK: dict[str, Callable[..., Awaitable[Found]]] = {"paths": ask_on, "readers": read_on, "held": hold_on}


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
