"""One such world for each test."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from engine.journal import Journal
from engine.protocol import accounts
from engine.protocol.addresses import (
    PROGRAM_ID,
)
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.serving.server import serve
from engine.sandbox.program import load
from engine.store.pool import open_pool

# The world is a module of this folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))
from recorded import FUND, World


@pytest.fixture
async def world(tmp_path: Path, database_url, records) -> AsyncIterator[World]:
    """An engine's record of a cluster with a fund and a price, in which nothing has happened yet."""
    ledger = Ledger(Genesis.from_seed(b"verify"), time.time)
    ledger.add_program(PROGRAM_ID, load())
    server = await serve(ledger, rpc_port=0, ws_port=0, slot_ms=3_600_000)
    wallet = Keypair.from_seed(b"w" * 32)
    ledger.airdrop(wallet.pubkey(), 10**12)
    identity = f"{ledger.genesis_hash}/{wallet.pubkey()}/{PROGRAM_ID}"
    journal = Journal.open(tmp_path / "journal.db", identity)
    database = await open_pool(database_url)
    world = World(ledger, server, database_url, journal, database, records)
    numbers = (10**8, 10**8, 0, 0)  # balance, contributions, covered, utilization
    fund = accounts.FUND_DISCRIMINATOR + bytes(32) + b"".join(each.to_bytes(8, "little") for each in numbers)
    world.plant(FUND, fund, PROGRAM_ID, lamports=10**8 + 2_000_000)
    world.publish()
    world.finalize()
    yield world
    await database.close()
    await journal.close()
    await server.close()
