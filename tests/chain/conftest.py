"""Pools of RPC endpoints, on virtual time and on a real sandbox's nodes."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# The scripted nodes are a module of this folder, virtual time is the engine's; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parent))
from scripted import ScriptedPool, scripted_pool


@pytest.fixture
async def three() -> AsyncIterator[ScriptedPool]:
    """Three nodes in good health, met and watched."""
    async with scripted_pool() as pool:
        await pool.meet()
        yield pool


@pytest.fixture
async def one() -> AsyncIterator[ScriptedPool]:
    """A single node, met and watched."""
    async with scripted_pool(1) as pool:
        await pool.meet()
        yield pool
