"""The sandbox as a process: cluster, program, market and database start side by side and end together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import structlog
from solders.account import Account
from solders.keypair import Keypair

from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM
from engine.protocol.margin import LAMPORTS_PER_SOL
from engine.sandbox import program
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.listeners import listening
from engine.sandbox.market.drifts import Direction
from engine.sandbox.market.market import Market
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.scenarios import Scenario, price_paths
from engine.sandbox.options import SandboxOptions
from engine.sandbox.state_dir import StateDir, state_directory
from engine.store.embedded import embedded_postgres
from engine.telemetry.logs import configure_logging

# A crash of 1,000 positions takes about 3,000 transactions; with a priority fee of twice the base fee
# they cost 0.045 SOL.
WALLET_LAMPORTS = LAMPORTS_PER_SOL

_STDIN = 0
_OPENINGS_PER_S = 700
_LONGEST_SPREAD_S = 1.5
_BATCHES = 40
_LARGEST_BATCH = 50  # transactions, some 40 ms: as long as nobody else gets a turn
_CONNECT_DEADLINE_S = 10.0
_CREATE_DEADLINE_S = 20.0

log = structlog.get_logger("sandbox")


async def run_sandbox(options: SandboxOptions, announce: Callable[[str], None]) -> None:
    """Run a sandbox until SIGTERM, SIGINT or, with `exit_with_parent`, the end of stdin.

    `announce` gets one line, a JSON object of where everything is, once all of it answers. Raises
    OperatorError for what an operator can mend: a prices file, a directory, a database that does not start.
    """
    configure_logging("info")
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    if options.exit_with_parent:
        _watch_stdin(loop, ending)
    sandbox = asyncio.create_task(_run(options, announce))
    told = asyncio.create_task(ending.wait())
    try:
        await asyncio.wait({sandbox, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        sandbox.cancel()
        await asyncio.wait({sandbox})
    if not sandbox.cancelled():
        sandbox.result()


def _watch_stdin(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    """End when whoever holds the other end of our stdin is gone, however it went."""

    def read_to_the_end() -> None:
        with contextlib.suppress(OSError):  # no stdin at all is as good as its end
            while os.read(_STDIN, 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the loop has ended for another reason
            loop.call_soon_threadsafe(ending.set)

    # A thread, because a file or a terminal as stdin cannot be watched by every event loop.
    threading.Thread(target=read_to_the_end, name="stdin", daemon=True).start()


async def _run(options: SandboxOptions, announce: Callable[[str], None]) -> None:
    started_s = time.monotonic()
    plan = _plan(options)
    async with contextlib.AsyncExitStack() as stack:
        state = stack.enter_context(state_directory(options.state_dir))
        database = await stack.enter_async_context(_database(state))
        wallet = Keypair()
        state.write_wallet(wallet)
        ledger = Ledger(Genesis.from_seed(options.seed.to_bytes(8, "little")), time.time)
        ledger.add_program(PROGRAM_ID, program.load())
        for address, account in program.idl_accounts(PROGRAM_ID).items():
            ledger.set_account(address, account)
        ledger.set_account(wallet.pubkey(), Account(WALLET_LAMPORTS, b"", SYSTEM_PROGRAM))
        leader = Leader(ledger)
        market = Market(ledger, plan, leader=leader)
        for _ in market.begin():
            await asyncio.sleep(0)  # the database starts meanwhile, and a signal ends us
        listeners = await stack.enter_async_context(listening(options, leader, market))
        try:
            await _open_positions(market, plan.signed_positions)
            where = {
                **listeners.where,
                "database_url": await database,
                "wallet_path": str(state.wallet),
                "program_id": str(PROGRAM_ID),
            }
            log.info(
                "sandbox ready",
                took_s=round(time.monotonic() - started_s, 2),
                positions_signed=market.positions_signed,
                positions_genesis=market.positions_genesis,
                **where,
            )
            listeners.desk.begin(options.trouble)
            announce(json.dumps(where))
            market.start()
            await listeners.wait()
        finally:
            log.info("sandbox ended", ticks=market.ticks, positions_opened=market.positions_opened)


def _plan(options: SandboxOptions) -> MarketPlan:
    scenario = Scenario(options.scenario)
    trend = None if options.trend is None else Direction(options.trend)
    return MarketPlan(
        seed=options.seed,
        positions=options.positions,
        scenario=scenario,
        paths=price_paths(scenario, options.seed, options.prices, options.ticks_per_candle, trend),
        genesis_positions=options.genesis_positions,
        population=options.population,
        behaviour=options.behaviour,
    )


async def _open_positions(market: Market, positions: int) -> None:
    """Open the first positions over several slots, at a pace that leaves those their time."""
    loop = asyncio.get_running_loop()
    batch = min(_LARGEST_BATCH, max(1, -(-positions // _BATCHES)))
    pace_s = min(_LONGEST_SPREAD_S, positions / _OPENINGS_PER_S) * batch / max(1, positions)
    due = loop.time()
    for _ in market.open_positions(batch=batch):
        due += pace_s
        await asyncio.sleep(max(0.0, due - loop.time()))


@asynccontextmanager
async def _database(state: StateDir) -> AsyncIterator[asyncio.Future[str]]:
    """Start the database server in the background; the future is its URL, or why it did not start."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    ending = asyncio.Event()

    async def hold() -> None:
        try:
            async with embedded_postgres(state.database) as dsn:
                if state.database is not None:
                    await _empty_database(dsn)
                url.set_result(dsn)
                await ending.wait()
        except Exception as error:
            if url.done():
                raise
            url.set_exception(error)

    server = asyncio.create_task(hold())
    try:
        yield url
    finally:
        ending.set()
        await server
        if url.done() and not url.cancelled():
            url.exception()  # whoever gave up earlier has its own reason to tell


async def _empty_database(dsn: str) -> None:
    """Give the server's database anew, without what an earlier sandbox's engine recorded in it."""
    address = urlsplit(dsn)
    name = address.path.removeprefix("/")
    maintenance = address._replace(path="/postgres").geturl()
    connection = await asyncpg.connect(
        maintenance, timeout=_CONNECT_DEADLINE_S, command_timeout=_CREATE_DEADLINE_S
    )
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')
    finally:
        await connection.close(timeout=_CONNECT_DEADLINE_S)
