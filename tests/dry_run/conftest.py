"""Dry runs: on a simulated cluster, and beside a real engine on a real sandbox."""

from __future__ import annotations

import sys
from pathlib import Path

# The rig, its simulation and its processes are modules of the engine's folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
