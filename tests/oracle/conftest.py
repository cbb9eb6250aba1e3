"""A board with a publisher whose prices the test sets, on virtual time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The virtual clock is a module of the engine's tests; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parent))
from publisher import Oracle


@pytest.fixture
def oracle() -> Oracle:
    """A board that has seen nothing yet."""
    return Oracle()
