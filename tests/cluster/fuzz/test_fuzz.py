"""A node with the program and a market on it, under everything that clients may send: it goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fuzz_cases import Cases, Town
from fuzz_client import Fuzzer
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from engine.protocol.addresses import FEEDS, PROGRAM_ID, insurance_fund_address
from engine.sandbox import program
from engine.sandbox.cluster import Commitment, Genesis, Ledger, serve
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.method_table import methods_of
from engine.sandbox.market.market import Market
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.scenarios import Scenario, price_paths

SEED = int(os.environ.get("FUZZ_SEED", "20260722"))
FEW, MANY = 4_000, 120_000
AT_ONCE = 24
SLOT_MS = 100
SUBSCRIPTIONS = [
    f"{kind}{verb}"
    for kind in ("account", "program", "signature", "logs", "slot", "slotsUpdates", "root", "block", "vote")
    for verb in ("Subscribe", "Unsubscribe")
]
# Growth between the first tenth of the cases, when caches have filled, and the end.
MOST_GROWTH_BYTES = 150_000_000


@dataclass
class Run:
    """A served cluster, what there is on it, and everything that was logged."""

    town: Town
    rpc_url: str
    ws_url: str
    logged: list[Any]
    loop_faults: list[dict[str, Any]]


@asynccontextmanager
async def cluster() -> AsyncIterator[Run]:
    """The node of a small market, its slots advancing."""
    payer = Keypair.from_seed(bytes(31) + b"\7")
    ledger = Ledger(Genesis.from_seed(b"fuzz"), lambda: 1_760_000_000.0)
    ledger.add_program(PROGRAM_ID, program.load())
    ledger.set_account(payer.pubkey(), Account(10**12, b"", Pubkey.default()))
    leader = Leader(ledger)
    plan = MarketPlan(7, 60, Scenario.CALM, price_paths(Scenario.CALM, 7, {}, 10))
    market = Market(ledger, plan, leader=leader)
    for _ in market.begin():
        pass
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    with capture_logs() as logged:
        server = await serve(
            ledger,
            leader=leader,
            rpc_port=0,
            ws_port=0,
            slot_ms=SLOT_MS,
            on_slot=[market.on_slot],
            extra_methods=market.rpc_methods,
        )
        try:
            for _ in market.open_positions(batch=10):
                await asyncio.sleep(0)
            market.start()
            yield Run(_town(ledger, leader, payer), server.rpc_url, server.ws_url, logged, faults)
        finally:
            await server.close()


def _town(ledger: Ledger, leader: Leader, payer: Keypair) -> Town:
    positions = [str(address) for address, _ in ledger.program_accounts(PROGRAM_ID)]
    addresses = [str(PROGRAM_ID), str(insurance_fund_address()), str(payer.pubkey()), *positions[:20]]
    addresses += [str(feed.account) for feed in FEEDS.values()]
    addresses += ["TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"]
    addresses += ["SysvarC1ock11111111111111111111111111111111"]
    recent = [ledger.latest_blockhash(ledger.bank(level)).value for level in Commitment]
    signatures = [
        str(landed.signature)
        for slot in range(ledger.first_slot, ledger.slot + 1)
        for landed in ledger.history.in_slot(slot)
    ]
    return Town(
        addresses=addresses,
        signatures=signatures[:50],
        blockhashes=[str(value) for value in recent],
        payer=payer,
        methods=[*methods_of(View(ledger), leader), "sandboxMarket", "sandboxHoldPrices"],
        subscriptions=SUBSCRIPTIONS,
    )


async def fuzz(run: Run, count: int) -> tuple[Fuzzer, int]:
    """Send so many cases; also how much memory the process took more at the end than after a tenth."""
    cases, fuzzer = Cases(SEED, run.town), Fuzzer(run.rpc_url, run.ws_url)
    numbers = iter(range(count))
    settled = 0

    async def work() -> None:
        nonlocal settled
        for number in numbers:
            await fuzzer.send(cases.case(number))
            if number == count // 10:
                settled = resident_bytes()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await fuzzer.close()
    return fuzzer, resident_bytes() - settled


def resident_bytes() -> int:
    """The memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def assert_it_goes_on(run: Run, fuzzer: Fuzzer, caplog: pytest.LogCaptureFixture) -> None:
    first = [
        f"case {case.number} of seed {SEED} ({case.kind}): {why}\n{case.data[:400]!r}"
        for case, why in fuzzer.faults
    ]
    assert not first, f"{len(first)} faults:\n" + "\n".join(first[:10])
    broken = [entry for entry in run.logged if entry["log_level"] in ("error", "critical")]
    assert broken == []
    assert run.loop_faults == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    async with aiohttp.ClientSession() as http:
        request = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}
        async with http.post(run.rpc_url, json=request) as response:
            assert await response.json() == {"jsonrpc": "2.0", "id": 1, "result": "ok"}


async def test_some_thousand_malformed_calls_and_frames_leave_the_node_healthy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster() as run:
        fuzzer, _ = await fuzz(run, FEW)
        await assert_it_goes_on(run, fuzzer, caplog)
    # The cases reach the methods, and are not all turned away at the door.
    assert fuzzer.answers["result"] > FEW // 20
    assert fuzzer.answers["-32602"] > FEW // 10


@pytest.mark.long
@pytest.mark.timeout(3_600)
async def test_more_than_a_hundred_thousand_malformed_calls_and_frames_leave_the_node_healthy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster() as run:
        fuzzer, growth_bytes = await fuzz(run, MANY)
        await assert_it_goes_on(run, fuzzer, caplog)
    assert sum(fuzzer.answers[key] for key in ("200", "400", "413", "websocket")) >= 100_000
    assert growth_bytes < MOST_GROWTH_BYTES
