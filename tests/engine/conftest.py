"""Engines on a simulated cluster, as fixtures, and one that can be talked to."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

# The rig and its simulation are modules of this folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))
from listening import Served
from rig import Rig

from engine.api.client import EngineClient
from engine.api.server import ApiServer
from engine.journal.records import OutboxKind


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Rig]:
    """A cluster and a state directory, with no engine yet."""
    rig = Rig(tmp_path)
    yield rig
    if hasattr(rig, "parts"):
        await rig.kill()


@pytest.fixture
async def rig(bare: Rig) -> Rig:
    """A running engine with four workers, on an empty book."""
    bare.boot()
    await bare.start()
    return bare


@pytest.fixture
async def served(rig: Rig, tmp_path: Path) -> AsyncIterator[Served]:
    """A running engine behind its listeners."""
    server = ApiServer(rig.parts.snapshots, rig.parts.commands)
    path = tmp_path / "engine.sock"
    await server.start(path, 0)
    async with EngineClient(path) as client:
        yield Served(rig, server, path, client)
    await server.close()


@pytest.fixture
async def audit(served: Served) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """The audit records so far."""

    async def read() -> list[dict[str, Any]]:
        await served.rig.parts.commands.settle_audits()
        return served.rig.recorded(OutboxKind.CONTROL)

    return read
