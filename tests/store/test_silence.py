"""A server that takes what it is sent and answers nothing is noticed in one deadline, and used again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.clock import SystemClock
from engine.journal import ControlRecord
from engine.store import outbox, pool
from engine.store.outbox import AWAY, OK, OutboxShipper
from engine.store.pool import open_pool

# The network in between is that of the faults; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from tcp_proxy import TcpProxy

NEVER_S = 3600.0


@pytest.fixture
async def network(postgres) -> AsyncIterator[TcpProxy]:
    """The way to the server."""
    proxy = TcpProxy(f"{postgres.sockets}/.s.PGSQL.5432")
    await proxy.listen()
    yield proxy
    await proxy.close()


def through(network: TcpProxy, database_url: str, role: str) -> str:
    """The same database by way of the network."""
    return f"postgresql://{role}@127.0.0.1:{network.port}{urlsplit(database_url).path}"


async def test_with_nothing_to_ship_a_server_that_hangs_is_away_until_it_answers(
    journal, network, postgres, database_url, eventually, monkeypatch
):
    monkeypatch.setattr(pool, "COMMAND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(outbox, "ASK_PERIOD_S", 0.1)
    monkeypatch.setattr(outbox, "STATISTICS_PERIOD_S", NEVER_S)
    database = await open_pool(through(network, database_url, postgres.role))
    shipper = OutboxShipper(journal, database, SystemClock())
    await journal.record_control(ControlRecord(1, "root", "stop", "drill", accepted=True))
    assert await shipper.drain(20)
    shipping = asyncio.create_task(shipper.run())
    try:
        for _ in range(2):
            await eventually(lambda: shipper.state == OK)
            network.swallow()
            await eventually(lambda: shipper.state == AWAY)
            assert shipper.message.startswith("no answer in")
            assert shipper.backlog == 0
            await network.forward()
    finally:
        shipping.cancel()
        await asyncio.gather(shipping, return_exceptions=True)
        await database.close()


async def test_who_gave_up_on_a_statement_does_not_wait_for_its_cancellation_too(
    network, postgres, database_url, monkeypatch
):
    for deadline in ("COMMAND_TIMEOUT_S", "ACQUIRE_TIMEOUT_S"):
        monkeypatch.setattr(pool, deadline, NEVER_S)
    database = await open_pool(through(network, database_url, postgres.role))
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            async with database.transaction() as session:
                network.swallow()
                async with asyncio.timeout(0.05):
                    await session.fetch("read_journal_progress", "")
        await network.forward()
        assert await database.fetch("read_journal_progress", "") == []
    await database.close()
