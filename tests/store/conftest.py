"""Data directories of an embedded PostgreSQL that is to be kept, without waiting for initdb each time."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store.embedded import embedded_postgres


async def _start_and_stop(data: Path) -> None:
    async with embedded_postgres(data):
        pass


def _enterable_directory() -> Path:
    """One that other users may enter, as a profile's is when it belongs to its own user."""
    made = Path(tempfile.mkdtemp(prefix="embedded-"))
    made.chmod(0o755)
    return made


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory that the server's own user may enter."""
    made = _enterable_directory()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def stopped_server() -> Iterator[Path]:
    """The data of a server that was made, started once and stopped in good order."""
    made = _enterable_directory()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_start_and_stop(made / "pg"))
    loop.close()
    yield made / "pg"
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def data(stopped_server: Path, directory: Path) -> Path:
    """A copy of such data, with its owner."""
    subprocess.run(["cp", "-a", str(stopped_server), str(directory / "pg")], check=True)
    return directory / "pg"
