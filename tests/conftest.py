"""What several parts' tests stand on: a real PostgreSQL, fresh databases in it, and records to put there."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.domain import (
    Action,
    Decision,
    Generation,
    Intent,
    Outcome,
    OutcomeClass,
    Position,
    Price,
    Side,
    Verdict,
)
from engine.liquidation import decision_record
from engine.protocol import margin
from engine.store.embedded import embedded_postgres
from engine.store.migrate import migrate

# Several parts wait for processes in the same way; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent / "waiting"))

# A shell that runs the suite in the background has the interrupt ignored, and every program started here
# would inherit that; with a handler of ours it inherits the default.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NOW_NS = 1_750_000_000_123_456_789


def pytest_configure() -> None:
    """What a shell starts in the background ignores interrupts, and so would all that the tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Root's embedded databases lie outside of the homes that tests throw away: they go with those."""
    if hasattr(session.config, "workerinput"):
        return  # others are still at work
    for back in Path("/var/lib/liquidation-engine").glob("data-*.of"):
        home, data = back.readlink(), back.with_suffix("")
        is_tests = home.is_relative_to(tempfile.gettempdir())
        if is_tests and not os.path.lexists(home) and not (data / "postmaster.pid").exists():
            shutil.rmtree(data, ignore_errors=True)
            back.unlink(missing_ok=True)


class PostgresServer:
    """One embedded server for the whole run; `dsn(name)` addresses a database of it."""

    def __init__(self, dsn: str) -> None:
        self.sockets = parse_qs(urlsplit(dsn).query)["host"][0]
        self.role = urlsplit(dsn).username
        self._numbers = itertools.count(1)

    def dsn(self, database: str, role: str | None = None) -> str:
        return f"postgresql://{role or self.role}@/{database}?host={self.sockets}"

    async def new_database(self, template: str = "template1") -> str:
        """The DSN of a database of its own."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await connection.close()
        return self.dsn(name)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty directory whose path leaves room for a unix socket's, as pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="le-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The embedded PostgreSQL, with a migrated template database."""
    loop = asyncio.new_event_loop()
    running = embedded_postgres()
    dsn = loop.run_until_complete(running.__aenter__())
    loop.run_until_complete(migrate(dsn))
    yield PostgresServer(dsn)
    loop.run_until_complete(running.__aexit__(None, None, None))
    loop.close()


@pytest.fixture
async def empty_database(postgres: PostgresServer) -> str:
    """The DSN of an empty database."""
    return await postgres.new_database()


@pytest.fixture
async def database_url(postgres: PostgresServer) -> str:
    """The DSN of a database with the schema and no rows."""
    return await postgres.new_database("liquidation_db")


Eventually = Callable[[Callable[[], Any]], Awaitable[Any]]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition, plain or awaitable, is true; fails after 20 s."""

    async def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 20
        while True:
            value = condition()
            if isinstance(value, Awaitable):
                value = await value
            if value:
                return value
            assert time.monotonic() < deadline, "the condition did not come true in 20 s"
            await asyncio.sleep(0.01)

    return wait


class Records:
    """Makes valid records; keyword arguments replace single fields."""

    identity = f"GenesisHash1111111111111111111111/{Pubkey.new_unique()}/{Pubkey.new_unique()}"

    def signature(self) -> Signature:
        return Signature(os.urandom(64))

    def decision(self, **changes: Any) -> Decision:
        """A long of 10 SOL at 100 USD with 20x leverage, at a mark that leaves it liquidatable."""
        position = Position(
            address=Pubkey.new_unique(),
            owner=Pubkey.new_unique(),
            symbol="SOL/USD",
            side=Side.LONG,
            size_e6=10 * 10**6,
            collateral_e6=50 * 10**6,
            entry_price_e6=100 * 10**6,
            leverage=20,
            maintenance_margin_e6=25 * 10**6,
            is_liquidated=False,
            created_at_s=1_750_000_000,
            generation=Generation.DOCUMENTED,
            slot=1000,
        )
        raw = changes.pop("raw_price", 9_700_000_000)
        price = Price("SOL/USD", raw // 100, 10_000, raw, -8, 1_750_000_000, 1001, Verdict.OK)
        position = replace(position, **changes.pop("position", {}))
        price = replace(price, **changes.pop("price", {}))
        terms = margin.Terms(
            position.side,
            position.size_e6,
            position.entry_price_e6,
            position.collateral_e6,
            position.leverage,
        )
        health = margin.health_at(terms, price.price_e6)
        action, amount, reason = margin.choose_action(position.size_e6, health, price.price_e6)
        return replace(Decision(position, price, health, action, amount, reason), **changes)

    def intent(self, **changes: Any) -> Intent:
        intent = Intent(
            signature=self.signature(),
            position=Pubkey.new_unique(),
            owner=Pubkey.new_unique(),
            symbol="SOL/USD",
            action=Action.FULL,
            amount_e6=10 * 10**6,
            attempt=0,
            liquidation_id=os.urandom(8).hex(),
            raw_transaction=os.urandom(200),
            blockhash="11111111111111111111111111111111",
            last_valid_block_height=1150,
            compute_unit_limit=200_000,
            priority_fee_microlamports=10_000,
            detected_at_ns=NOW_NS,
            created_at_ns=NOW_NS + 2_000_000,
            decision_json=decision_record.encode(self.decision()),
        )
        return replace(intent, **changes)

    def success(self, intent: Intent, **changes: Any) -> Outcome:
        outcome = Outcome(
            signature=intent.signature,
            outcome=OutcomeClass.CONFIRMED,
            landed=True,
            error_message=None,
            slot=1005,
            fee_lamports=5_010,
            liquidated_size_e6=intent.amount_e6,
            liquidation_price_e6=97 * 10**6,
            reward_lamports=1_000,
            bad_debt_lamports=0,
            covered_lamports=0,
            compute_units=41_000,
            submitted_at_ns=intent.created_at_ns + 1_000_000,
            confirmed_at_ns=intent.detected_at_ns + 500_000_000,
            finalized_at_ns=intent.detected_at_ns + 13_000_000_000,
        )
        return replace(outcome, **changes)

    def expiry(self, intent: Intent, **changes: Any) -> Outcome:
        outcome = replace(
            self.success(intent),
            outcome=OutcomeClass.BLOCKHASH_EXPIRED,
            landed=False,
            error_message="blockhash expired",
            slot=None,
            fee_lamports=0,
            liquidated_size_e6=0,
            liquidation_price_e6=0,
            reward_lamports=0,
            compute_units=0,
            confirmed_at_ns=None,
            finalized_at_ns=None,
        )
        return replace(outcome, **changes)


@pytest.fixture
def records() -> Records:
    """A maker of valid records."""
    return Records()


@pytest.fixture(scope="session")
def records_class() -> type[Records]:
    """The maker itself, for property tests, which need a fresh one per example."""
    return Records
