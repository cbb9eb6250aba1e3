"""A day of slots with a market and clients that come and go, as fast as they go: memory stays what it was."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from engine.protocol.addresses import PROGRAM_ID
from engine.sandbox import program
from engine.sandbox.cluster import Commitment, Genesis, Ledger
from engine.sandbox.cluster.base58 import base58_encode
from engine.sandbox.cluster.blocks.retention import Retention
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.serving.server import serve_node
from engine.sandbox.cluster.serving.subscriptions import Subscriptions
from engine.sandbox.market.market import Market
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.scenarios import Scenario, price_paths

SLOTS_OF_A_DAY = 216_000
SLOT_S = 0.4
POSITIONS = 200
CALLERS, LISTENERS = 3, 6
# Bounds that a day passes many times over, and an hour of the short test at least once.
SMALL = Retention(transactions=4_000, blocks=1_500, lag_slots=100, old_states=20_000)
# What allocators and growing tables may still take up between a quarter of the time and its end.
MOST_GROWTH_BYTES = 24_000_000


@dataclass
class Day:
    """A cluster whose slots are driven as fast as they go, with clients on its sockets."""

    ledger: Ledger
    leader: Leader
    market: Market
    rpc_url: str
    ws_url: str
    now_s: list[float]
    answered: int = 0
    told: int = 0
    memory_bytes: list[int] = field(default_factory=list)

    async def pass_slots(self, count: int, sample_every: int) -> None:
        """Let slots pass, and look at the memory now and then; clients have their turn after each."""
        for number in range(count):
            if number % sample_every == 0:
                self.memory_bytes.append(resident_bytes())
            self.leader.work()
            self.now_s[0] += SLOT_S
            self.ledger.advance_slot()
            self.market.on_slot(self.ledger)
            await asyncio.sleep(0)
        self.memory_bytes.append(resident_bytes())


@asynccontextmanager
async def day() -> AsyncIterator[Day]:
    """The market opened, served, and its clients at work until the end."""
    now_s = [1_760_000_000.0]
    ledger = Ledger(Genesis.from_seed(b"a day"), lambda: now_s[0], SMALL)
    ledger.add_program(PROGRAM_ID, program.load())
    leader = Leader(ledger)
    plan = MarketPlan(3, POSITIONS, Scenario.CALM, price_paths(Scenario.CALM, 3, {}, 10))
    market = Market(ledger, plan, leader=leader)
    for _ in market.begin():
        pass
    for _ in market.open_positions(batch=50):
        leader.work()
        ledger.advance_slot()
    market.start()
    server = await serve_node(leader, extra_methods=market.rpc_methods)
    served = Day(ledger, leader, market, server.rpc_url, server.ws_url, now_s)
    payer = Keypair()
    ledger.set_account(payer.pubkey(), Account(10**15, b"", Pubkey.default()))
    clients: list[Awaitable[None]] = [_call(served, payer, number) for number in range(CALLERS)]
    clients += [_listen(served, number) for number in range(LISTENERS)]
    tasks = [asyncio.ensure_future(client) for client in clients]
    try:
        yield served
        assert not any(task.done() for task in tasks), "a client gave up"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.close()


async def _call(served: Day, payer: Keypair, number: int) -> None:
    """A client that asks this and that and pays somebody, one call after the other."""
    rng = Random(number)
    processed = {"commitment": "processed"}
    calls: list[Callable[[], tuple[str, list[Any]]]] = [
        lambda: ("getProgramAccounts", [str(PROGRAM_ID), {"encoding": "base64", **processed}]),
        lambda: ("getLatestBlockhash", [processed]),
        lambda: ("getSignaturesForAddress", [str(payer.pubkey()), {"limit": 20}]),
        lambda: ("getBlock", [served.ledger.slot - 40, {"maxSupportedTransactionVersion": 0}]),
        lambda: ("getRecentPrioritizationFees", [[]]),
        lambda: ("requestAirdrop", [str(_somebody(rng)), 10**9]),
        lambda: ("sendTransaction", [_payment(served, payer, rng), {"encoding": "base58"}]),
        lambda: ("getEverything", []),
    ]
    async with aiohttp.ClientSession() as http:
        while True:
            method, params = rng.choice(calls)()
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            async with http.post(served.rpc_url, json=call) as response:
                await response.read()
                assert response.status == 200
            served.answered += 1


def _somebody(rng: Random) -> Pubkey:
    """One of those who are paid: new accounts without end would be growth that a chain is meant to have."""
    return Pubkey.from_bytes(rng.randrange(1, 500).to_bytes(32, "big"))


def _payment(served: Day, payer: Keypair, rng: Random) -> str:
    blockhash = served.ledger.latest_blockhash(served.ledger.bank(Commitment.CONFIRMED)).value
    payment = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=_somebody(rng), lamports=10**6))
    message = MessageV0.try_compile(payer.pubkey(), [payment], [], blockhash)
    return base58_encode(bytes(VersionedTransaction(message, [payer])))


async def _listen(served: Day, number: int) -> None:
    """A client that subscribes, hears some notifications, and goes: with a goodbye or without."""
    rng = Random(f"listener {number}")
    kinds: list[tuple[str, list[Any]]] = [
        ("slotSubscribe", []),
        ("slotsUpdatesSubscribe", []),
        ("rootSubscribe", []),
        ("logsSubscribe", ["all"]),
        ("programSubscribe", [str(PROGRAM_ID), {"encoding": "base64", "commitment": "confirmed"}]),
    ]
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.ws_connect(served.ws_url) as socket:
                for method, params in rng.sample(kinds, 3):
                    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                    await socket.send_str(json.dumps(call))
                for _ in range(rng.randrange(5, 400)):
                    await socket.receive()
                    served.told += 1
                if rng.random() < 0.5:
                    response = socket._response
                    assert response.connection is not None
                    assert response.connection.transport is not None
                    response.connection.transport.abort()


def resident_bytes() -> int:
    """The memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def subscriptions_of(ledger: Ledger) -> int:
    """How many subscriptions the node keeps."""
    (found,) = (entry for entry in ledger.observers if isinstance(entry, Subscriptions))
    return len(found)


async def test_a_quarter_of_an_hour_of_slots_with_clients_keeps_what_is_past_within_bounds() -> None:
    async with day() as served:
        await served.pass_slots(2_250, sample_every=500)
        assert len(served.ledger.history) <= SMALL.transactions + 1_000
        assert served.ledger.first_available_slot >= served.ledger.slot - SMALL.blocks - 50
        assert subscriptions_of(served.ledger) <= 3 * LISTENERS
    assert served.answered > 100
    assert served.told > 500


@pytest.mark.long
@pytest.mark.timeout(7_200)
async def test_a_day_of_slots_with_market_and_clients_takes_no_more_memory_at_its_end() -> None:
    async with day() as served:
        await served.pass_slots(SLOTS_OF_A_DAY, sample_every=SLOTS_OF_A_DAY // 16)
        assert subscriptions_of(served.ledger) <= 3 * LISTENERS
    quarter, end = served.memory_bytes[4], served.memory_bytes[-1]
    shown = [round(taken / 1e6) for taken in served.memory_bytes]
    assert end - quarter < MOST_GROWTH_BYTES, f"memory in MB, each sixteenth of a day: {shown}"
    assert served.answered > 10_000
