"""How long a client waits for all 100,000 accounts of a program, and how long others wait meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from json import dumps
from urllib.parse import urlsplit

from benchmarks.measurement import Baseline, Measurement
from benchmarks.node_process import NODE_CORE, NodeOptions, NodeUnderTest, kept_off, node, rpc
from benchmarks.processes import Failed
from engine.protocol.addresses import PROGRAM_ID

ACCOUNTS = 100_000
REPEATS = 12
WRITTEN_BETWEEN = 2_000
BASELINE_REPEATS = 4
GOAL_S = 0.5
_CHUNK = 1 << 20


def measure() -> Iterator[Measurement]:
    """Read the program again and again, with 2 % of it written in between; the first is unprepared."""
    with kept_off(NODE_CORE), node(NodeOptions(positions=ACCOUNTS)) as under_test:
        config = {"encoding": "base64", "commitment": "processed"}
        samples = []
        for number in range(REPEATS):
            samples.append(_read(under_test, "getProgramAccounts", str(PROGRAM_ID), config))
            first = number * WRITTEN_BETWEEN % ACCOUNTS
            rpc(under_test.rpc_url, "benchmarkWrite", first, WRITTEN_BETWEEN)
        plain = [_read(under_test, "benchmarkPlainAccounts") for _ in range(BASELINE_REPEATS)]
    yield Measurement(
        "node_gpa_100k",
        "s",
        samples,
        n=REPEATS,
        goal=GOAL_S,
        baseline=Baseline(
            "written anew and at once, while everybody else waits", sorted(plain)[len(plain) // 2]
        ),
    )


def _read(under_test: NodeUnderTest, method: str, *params: object) -> float:
    """Seconds from the request until the last byte of the answer is read; raises Failed for a wrong one."""
    address = urlsplit(under_test.rpc_url)
    body = dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    head = f"POST / HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    answer = bytearray()
    began = time.perf_counter()
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        while chunk := connection.recv(_CHUNK):
            answer += chunk
    took_s = time.perf_counter() - began
    if answer.count(b'"pubkey"') < ACCOUNTS:
        raise Failed(f"{method} named {answer.count(b'pubkey')} accounts")
    return took_s
