"""One engine for all commands of the operational guide, set up as the guide sets it up."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# The blocks and the engine are modules of this folder, the sandbox that it needs is one of the clients';
# test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "clients"))
sys.path.insert(0, str(Path(__file__).parent))
from guided import Operator, running_engine


@pytest.fixture(scope="module")  # while others are tested it would only take their processor
def operator() -> Iterator[Operator]:
    """Somebody who followed the guide up to a running engine."""
    with tempfile.TemporaryDirectory(prefix="lg-") as home, running_engine(Path(home)) as operator:
        yield operator
