"""A journal and a database to ship it to; and data directories of an embedded PostgreSQL that is to be kept,
without waiting for initdb each time."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.journal import Journal
from engine.store.embedded import embedded_postgres
from engine.store.outbox import OutboxShipper
from engine.store.pool import Database, open_pool

# What reads the databases is a module of this folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))


async def _start_and_stop(data: Path) -> None:
    async with embedded_postgres(data):
        pass


@contextmanager
def _enterable_directory() -> Iterator[Path]:
    """One that other users may enter, as a profile's is when it belongs to its own user."""
    made = Path(tempfile.mkdtemp(prefix="embedded-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def enterable_directory() -> Callable[[], AbstractContextManager[Path]]:
    """Makes directories that the server's own user may enter; each is there as long as its context."""
    return _enterable_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory that the server's own user may enter."""
    with _enterable_directory() as made:
        yield made


@pytest.fixture(scope="session")
def stopped_server() -> Iterator[Path]:
    """The data of a server that was made, started once and stopped in good order."""
    with _enterable_directory() as made:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(_start_and_stop(made / "pg"))
        loop.close()
        yield made / "pg"


@pytest.fixture
def data(stopped_server: Path, directory: Path) -> Path:
    """A copy of such data, with its owner."""
    subprocess.run(["cp", "-a", str(stopped_server), str(directory / "pg")], check=True)
    return directory / "pg"


@pytest.fixture
async def journal(tmp_path: Path, records) -> AsyncIterator[Journal]:
    """An empty journal."""
    journal = Journal.open(tmp_path / "journal.db", records.identity)
    yield journal
    await journal.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the newest tables, and nothing in them."""
    database = await open_pool(database_url)
    yield database
    await database.close()


@pytest.fixture
def shipper(journal: Journal, database: Database) -> OutboxShipper:
    """What ships the one to the other."""
    return OutboxShipper(journal, database, SystemClock())
