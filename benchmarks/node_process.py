"""A node alone in its process, with the program and as many positions as asked for; ends with its stdin."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import uvloop
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from benchmarks.processes import Failed
from engine.domain import Generation, Position, Side
from engine.protocol.accounts import FUND_DISCRIMINATOR, encode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER, insurance_fund_address
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.sandbox import program
from engine.sandbox.cluster import Genesis, Ledger, serve
from engine.sandbox.cluster.encoding import AccountEncoding, keyed_account_json

LAMPORTS = 1_000_000_000
PRICES_E6 = {"SOL/USD": 100_000_000, "BTC/USD": 60_000_000_000, "ETH/USD": 3_000_000_000}
ENTRY_PRICE_E6 = 150_000_000  # SOL has fallen by a third: ten times leveraged longs are gone
NODE_CORE = 0
READY_S = 60.0
SIZE_OFFSET = 44 + len("SOL/USD")  # where a position's account has its size


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the node holds and how it runs; `core` pins it to one processor."""

    positions: int
    slot_ms: float = 400.0
    core: int | None = None


@dataclass(frozen=True, slots=True)
class NodeUnderTest:
    """A node that answers."""

    rpc_url: str
    ws_url: str
    wallet: Keypair
    pid: int


def rpc(url: str, method: str, *params: object) -> object:
    """The result of one JSON-RPC call."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urlopen(request, timeout=30) as response:  # noqa: S310 - loopback
        answer = json.load(response)
    if "result" not in answer:
        raise Failed(f"{method}: {answer.get('error')}")
    return answer["result"]


def position_address(number: int) -> Pubkey:
    """Where the position of a number is."""
    return Pubkey.from_bytes(hashlib.sha256(f"position {number}".encode()).digest())


@contextmanager
def kept_off(core: int) -> Iterator[None]:
    """Leave one processor to the node, where there are others."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before - {core} or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def node(options: NodeOptions) -> Iterator[NodeUnderTest]:
    """The node in a process of its own; raises Failed when it does not start."""
    wallet = Keypair()
    process = Popen(
        [sys.executable, "-m", "benchmarks.node_process"],
        stdin=PIPE,
        stdout=PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps({**asdict(options), "wallet": str(wallet)}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise Failed("the node did not start")
        where: dict[str, Any] = json.loads(line)
        yield NodeUnderTest(where["rpc_url"], where["ws_url"], wallet, process.pid)
    finally:
        process.stdin.close()
        process.wait(timeout=READY_S)


def planted_ledger(positions: int, wallet: Pubkey) -> Ledger:
    """A ledger with the program, its fund, prices, a rich wallet, and liquidatable positions."""
    ledger = Ledger(Genesis.from_seed(b"benchmark"), time.time)
    ledger.add_program(PROGRAM_ID, program.load())
    ledger.set_account(wallet, Account(1_000 * LAMPORTS, b"", Pubkey.default()))
    _plant_fund(ledger, wallet)
    for symbol, price_e6 in PRICES_E6.items():
        _plant_price(ledger, symbol, price_e6)
    rent = ledger.rent_exempt_minimum_lamports(120)
    for number in range(positions):
        data = encode_position(_position(number, wallet))
        ledger.set_account(position_address(number), Account(rent, data, PROGRAM_ID))
    return ledger


def _position(number: int, owner: Pubkey) -> Position:
    return Position(
        address=position_address(number),
        owner=owner,
        symbol="SOL/USD",
        side=Side.LONG,
        size_e6=1_000_000 + number,
        collateral_e6=15_000_000,
        entry_price_e6=ENTRY_PRICE_E6,
        leverage=10,
        maintenance_margin_e6=1_500_000,
        is_liquidated=False,
        created_at_s=int(time.time()),
        generation=Generation.DOCUMENTED,
        slot=0,
    )


def _plant_fund(ledger: Ledger, authority: Pubkey) -> None:
    balance = 1_000_000 * LAMPORTS
    numbers = (balance, balance, 0, 0)
    data = FUND_DISCRIMINATOR + bytes(authority) + b"".join(n.to_bytes(8, "little") for n in numbers)
    data = data.ljust(73, b"\0")
    rent = ledger.rent_exempt_minimum_lamports(len(data))
    ledger.set_account(insurance_fund_address(), Account(rent + balance, data, PROGRAM_ID))


def _plant_price(ledger: Ledger, symbol: str, price_e6: int) -> None:
    now_s = int(ledger.unix_time_s)
    update = PriceUpdate(
        write_authority=FEEDS[symbol].account,
        feed_id=FEEDS[symbol].feed_id,
        price=price_e6,
        conf=0,
        exponent=-6,
        publish_time_s=now_s,
        prev_publish_time_s=now_s,
        ema_price=price_e6,
        ema_conf=0,
        posted_slot=ledger.slot,
    )
    data = encode_price_update(update)
    ledger.set_account(
        FEEDS[symbol].account, Account(ledger.rent_exempt_minimum_lamports(len(data)), data, PYTH_RECEIVER)
    )


def _publish(ledger: Ledger) -> None:
    """At the start of each slot, so that prices are never stale."""
    for symbol, price_e6 in PRICES_E6.items():
        _plant_price(ledger, symbol, price_e6)


class _Methods:
    """What only a benchmark asks of a node."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.by_name: dict[str, Callable[[list[object]], object]] = {
            "benchmarkPlainAccounts": self._plain_accounts,
            "benchmarkWrite": self._write,
        }

    def _plain_accounts(self, _params: list[object]) -> object:
        """All of the program's accounts written anew and at once: getProgramAccounts the plain way."""
        entries = [
            keyed_account_json(address, account, AccountEncoding.BASE64, None)
            for address, account in self._ledger.program_accounts(PROGRAM_ID)
        ]
        return msgspec.Raw(f"[{','.join(entries)}]".encode())

    def _write(self, params: list[object]) -> object:
        """Change so many positions, each stamped with the moment in its size: (first, count)."""
        first, count = params
        assert isinstance(first, int)
        assert isinstance(count, int)
        for number in range(first, first + count):
            account = self._ledger.account(position_address(number))
            assert account is not None
            stamp = time.monotonic_ns().to_bytes(8, "little")
            data = account.data[:SIZE_OFFSET] + stamp + account.data[SIZE_OFFSET + 8 :]
            self._ledger.set_account(position_address(number), Account(account.lamports, data, PROGRAM_ID))
        return count


async def _serve(order: dict[str, Any]) -> None:
    if order["core"] is not None:
        os.sched_setaffinity(0, {order["core"]})
    wallet = Keypair.from_base58_string(order["wallet"])
    ledger = planted_ledger(order["positions"], wallet.pubkey())
    server = await serve(
        ledger,
        rpc_port=0,
        ws_port=0,
        slot_ms=order["slot_ms"],
        on_slot=[_publish],
        extra_methods=_Methods(ledger).by_name,
    )
    print(json.dumps({"rpc_url": server.rpc_url, "ws_url": server.ws_url}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.close()


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(sys.stdin.readline())))
