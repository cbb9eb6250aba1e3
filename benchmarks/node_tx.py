"""How many real liquidations a second a node on one processor lands that come by sendTransaction."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from benchmarks.measurement import Baseline, Measurement
from benchmarks.node_process import (
    NODE_CORE,
    NodeOptions,
    NodeUnderTest,
    kept_off,
    node,
    position_address,
    rpc,
)
from benchmarks.processes import Failed
from engine.protocol.addresses import FEEDS, PROGRAM_ID, insurance_fund_address
from engine.protocol.instructions import liquidate

RUNS = 3
TRANSACTIONS = 6_000
BASELINE_TRANSACTIONS = 1_500
CONNECTIONS = 32
GOAL_PER_S = 1_500.0
COMPUTE_UNIT_LIMIT = 40_000
PRICE_MICROLAMPORTS = 1_000
DEADLINE_S = 60.0


def liquidations(wallet: Keypair, blockhash: Hash, numbers: Sequence[int]) -> list[bytes]:
    """Signed transactions that liquidate these positions in full, as the engine builds them."""
    feed, fund, payer = FEEDS["SOL/USD"].account, insurance_fund_address(), wallet.pubkey()
    signed = []
    for number in numbers:
        instructions = [
            set_compute_unit_limit(COMPUTE_UNIT_LIMIT),
            set_compute_unit_price(PRICE_MICROLAMPORTS),
            liquidate(
                position_address(number),
                payer,
                fund=fund,
                price_account=feed,
                sol_price_account=feed,
                amount_e6=None,
            ),
        ]
        message = MessageV0.try_compile(payer, instructions, [], blockhash)
        signed.append(bytes(VersionedTransaction(message, [wallet])))
    return signed


def blockhash_of(url: str) -> Hash:
    """The newest blockhash of a node."""
    result = rpc(url, "getLatestBlockhash", {"commitment": "confirmed"})
    assert isinstance(result, dict)
    return Hash.from_string(result["value"]["blockhash"])


def requests(raw: Sequence[bytes], host: str, *, preflight: bool) -> list[bytes]:
    """Whole HTTP requests, ready to be written."""
    prepared = []
    for number, transaction in enumerate(raw):
        config = {"encoding": "base64", "skipPreflight": not preflight, "preflightCommitment": "processed"}
        params = [base64.b64encode(transaction).decode(), config]
        call = {"jsonrpc": "2.0", "id": number, "method": "sendTransaction", "params": params}
        body = json.dumps(call).encode()
        head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        prepared.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return prepared


async def pump(url: str, prepared: Sequence[bytes], connections: int) -> float:
    """Send all requests, one at a time on each connection; the seconds until the last is answered."""
    address = urlsplit(url)
    queue = list(reversed(prepared))
    pairs = [await asyncio.open_connection(address.hostname, address.port) for _ in range(connections)]

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while queue:
            writer.write(queue.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            answer = await reader.readexactly(length)
            if b'"result"' not in answer:
                raise Failed(f"the node refused a liquidation: {answer[:300].decode(errors='replace')}")

    began = time.perf_counter()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(work(*pair) for pair in pairs))
    took_s = time.perf_counter() - began
    for _, writer in pairs:
        writer.close()
    return took_s


def left(under_test: NodeUnderTest) -> int:
    """How many positions are not liquidated yet."""
    flag = {"memcmp": {"offset": 44 + 7 + 34 + 1, "bytes": "1"}}  # is_liquidated of a SOL/USD position
    config = {
        "encoding": "base64",
        "commitment": "processed",
        "filters": [{"dataSize": 120}, flag],
        "dataSlice": {"offset": 0, "length": 0},
    }
    found = rpc(under_test.rpc_url, "getProgramAccounts", str(PROGRAM_ID), config)
    assert isinstance(found, list)
    return len(found)


def _liquidate(under_test: NodeUnderTest, count: int, connections: int, *, preflight: bool) -> float:
    """Liquidations landed per second, from the first byte sent until all of them have landed."""
    raw = liquidations(under_test.wallet, blockhash_of(under_test.rpc_url), range(count))
    prepared = requests(raw, urlsplit(under_test.rpc_url).netloc, preflight=preflight)
    began = time.perf_counter()
    asyncio.run(pump(under_test.rpc_url, prepared, connections))
    while remaining := left(under_test):
        if time.perf_counter() - began > DEADLINE_S:
            raise Failed(f"{remaining} liquidations did not land")
    return count / (time.perf_counter() - began)


def _run(count: int, connections: int, *, preflight: bool) -> float:
    with node(NodeOptions(positions=count, core=NODE_CORE)) as under_test:
        return _liquidate(under_test, count, connections, preflight=preflight)


def measure() -> Iterator[Measurement]:
    """Three bursts of real liquidations into a node on one processor, from a process on the others."""
    with kept_off(NODE_CORE):
        samples = [_run(TRANSACTIONS, CONNECTIONS, preflight=False) for _ in range(RUNS)]
        plain = _run(BASELINE_TRANSACTIONS, 1, preflight=True)
    yield Measurement(
        "node_tx",
        "liquidations/s",
        samples,
        n=RUNS * TRANSACTIONS,
        goal=GOAL_PER_S,
        higher_is_better=True,
        baseline=Baseline("one connection, one at a time, each simulated before", plain),
    )
