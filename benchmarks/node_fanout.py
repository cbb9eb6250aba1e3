"""How many notifications a second a node sends to 100 clients of a program, and when the last has one."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from benchmarks.measurement import Baseline, Measurement
from benchmarks.node_process import NODE_CORE, SIZE_OFFSET, NodeOptions, kept_off, node, rpc
from benchmarks.processes import Failed
from engine.protocol.addresses import PROGRAM_ID

CLIENTS = 100
BURSTS = 5
CHANGES = 500
SINGLE_CHANGES = 100
# A hundred clients hear of 500 changed positions in one second: a crash of a whole market in two seconds.
GOAL_PER_S = 50_000.0
# A tenth of a slot, so that the last to hear of a change is not a slot behind the first.
GOAL_DELAY_MS = 40.0
DEADLINE_S = 60.0
_HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MARK = b"programNotification"
_DATA = b'"data":["'


class _Client:
    """One subscriber that counts what it is told, and notes when it was told last."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Event
    ) -> None:
        self._heard = heard
        self._reader = reader
        self._writer = writer
        self.told = 0
        self.delay_ns = 0

    async def listen(self) -> None:
        """Count notifications as they come; the delay is of the last one in what was read."""
        rest = b""
        while data := await self._reader.read(1 << 18):
            rest += data
            count = rest.count(_MARK)
            if not count:
                continue
            now = time.monotonic_ns()
            begins = rest.rfind(_DATA) + len(_DATA)
            ends = rest.find(b'"', begins)
            if begins < len(_DATA) or ends < 0:
                continue
            account = base64.b64decode(rest[begins:ends])
            self.delay_ns = now - int.from_bytes(account[SIZE_OFFSET : SIZE_OFFSET + 8], "little")
            self.told += count
            self._heard.set()
            rest = b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def _connect(ws_url: str, heard: asyncio.Event) -> _Client:
    address = urlsplit(ws_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
    writer.write(_HANDSHAKE.format(host=address.netloc).encode())
    await reader.readuntil(b"\r\n\r\n")
    params = [str(PROGRAM_ID), {"encoding": "base64", "commitment": "processed"}]
    payload = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "programSubscribe", "params": params}).encode()
    writer.write(bytes((0x81, 0x80 | 126)) + len(payload).to_bytes(2, "big") + bytes(4) + payload)
    await reader.readuntil(b"}")
    return _Client(reader, writer, heard)


async def _hear(rpc_url: str, ws_url: str) -> tuple[list[float], list[float]]:
    """Notifications a second of each burst; of single changes, milliseconds until the last client has it."""
    heard = asyncio.Event()
    clients = [await _connect(ws_url, heard) for _ in range(CLIENTS)]
    listening = [asyncio.create_task(client.listen()) for client in clients]
    rates, delays_ms, expected = [], [], 0
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(BURSTS):
            expected += CHANGES
            began = time.perf_counter()
            await asyncio.to_thread(rpc, rpc_url, "benchmarkWrite", 0, CHANGES)
            await _until(clients, heard, expected)
            rates.append(CHANGES * CLIENTS / (time.perf_counter() - began))
        for number in range(SINGLE_CHANGES):
            expected += 1
            await asyncio.to_thread(rpc, rpc_url, "benchmarkWrite", number, 1)
            await _until(clients, heard, expected)
            delays_ms.append(max(client.delay_ns for client in clients) / 1e6)
    for client, task in zip(clients, listening, strict=True):
        task.cancel()
        client.close()
    await asyncio.gather(*listening, return_exceptions=True)
    return rates, delays_ms


async def _until(clients: list[_Client], heard: asyncio.Event, expected: int) -> None:
    while any(client.told < expected for client in clients):
        heard.clear()
        await heard.wait()
    if any(client.told > expected for client in clients):
        raise Failed("a client was told more than was written")


def measure() -> Iterator[Measurement]:
    """The node, and then the plainest server that does the same, each on its own processor."""
    with kept_off(NODE_CORE):
        with node(NodeOptions(positions=CHANGES, core=NODE_CORE)) as under_test:
            rates, delays_ms = asyncio.run(_hear(under_test.rpc_url, under_test.ws_url))
        with _plain_server() as (rpc_url, ws_url):
            plain_rates, plain_delays_ms = asyncio.run(_hear(rpc_url, ws_url))
    name = "a server that encodes each notification for each client and awaits its sending"
    yield Measurement(
        "node_fanout_100",
        "notifications/s",
        rates,
        n=BURSTS * CHANGES * CLIENTS,
        goal=GOAL_PER_S,
        higher_is_better=True,
        baseline=Baseline(name, sorted(plain_rates)[BURSTS // 2]),
    )
    yield Measurement(
        "node_fanout_100_last_ms",
        "ms",
        delays_ms,
        n=SINGLE_CHANGES,
        goal=GOAL_DELAY_MS,
        baseline=Baseline(name, sorted(plain_delays_ms)[SINGLE_CHANGES // 2]),
    )


# --- the baseline ---


@contextmanager
def _plain_server() -> Iterator[tuple[str, str]]:
    process = Popen([sys.executable, "-m", "benchmarks.node_fanout"], stdin=PIPE, stdout=PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE_S)


async def _serve_plainly() -> None:
    sockets: list[web.WebSocketResponse] = []

    async def websocket(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                sockets.append(socket)
                await socket.send_str('{"jsonrpc":"2.0","result":1,"id":1}')
        return socket

    async def write(request: web.Request) -> web.StreamResponse:
        _, count = (await request.json())["params"]
        for _ in range(count):
            stamp = time.monotonic_ns().to_bytes(8, "little")
            data = bytes(SIZE_OFFSET) + stamp + bytes(120 - SIZE_OFFSET - 8)
            for number, socket in enumerate(sockets):
                await socket.send_str(json.dumps(_notification(data, number), separators=(",", ":")))
        return web.json_response({"jsonrpc": "2.0", "result": count, "id": 1})

    application = web.Application()
    application.router.add_get("/", websocket)
    application.router.add_post("/", write)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def _notification(data: bytes, subscription: int) -> dict[str, object]:
    account = {
        "data": [base64.b64encode(data).decode(), "base64"],
        "executable": False,
        "lamports": 1_726_080,
        "owner": str(PROGRAM_ID),
        "rentEpoch": 0,
        "space": len(data),
    }
    value = {"pubkey": str(PROGRAM_ID), "account": account}
    result = {"context": {"slot": 1}, "value": value}
    params = {"result": result, "subscription": subscription}
    return {"jsonrpc": "2.0", "method": "programNotification", "params": params}


if __name__ == "__main__":
    import os

    import uvloop

    os.sched_setaffinity(0, {NODE_CORE})
    uvloop.run(_serve_plainly())
