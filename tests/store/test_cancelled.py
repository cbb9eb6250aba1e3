"""Whoever is to end while the server dies does end, whatever the driver has to say of its connection."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from engine.store.pool import open_pool


@pytest.fixture
async def database(database_url, monkeypatch):
    """A database whose driver fails whenever a connection is given back, as it does when its server dies."""
    release = asyncpg.Pool.release

    async def fails(pool, connection, *, timeout=None):
        await release(pool, connection, timeout=timeout)
        raise asyncpg.InterfaceError("cannot perform operation: connection is closed")

    database = await open_pool(database_url)
    monkeypatch.setattr(asyncpg.Pool, "release", fails)
    yield database
    monkeypatch.undo()
    await database.close()


async def test_a_failure_of_the_driver_does_not_take_the_place_of_a_cancellation(database):
    is_inside, outages = asyncio.Event(), []

    async def ship_for_ever():
        while not outages:
            try:
                async with database.transaction():
                    is_inside.set()
                    await asyncio.Event().wait()
            except asyncpg.InterfaceError as outage:
                outages.append(outage)

    shipping = asyncio.create_task(ship_for_ever())
    async with asyncio.timeout(20):
        await is_inside.wait()
        shipping.cancel()
        await asyncio.wait([shipping])
    assert outages == []
    assert shipping.cancelled()


async def test_without_a_cancellation_it_is_an_outage_like_any_other(database):
    with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
        async with database.transaction():
            pass


async def test_a_deadline_that_passes_meanwhile_is_still_a_deadline(database):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0), database.transaction():
            await asyncio.Event().wait()
