"""The log, the counts and the clockwork of an engine."""

from __future__ import annotations

import sys
from pathlib import Path

# Virtual time and whole engines are tests/engine's; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parent))
