"""Engines on a simulated cluster, as fixtures."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# The rig and its simulation are modules of this folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))
from rig import Rig


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
