"""Lets the tests of the market share a town."""

from __future__ import annotations

import sys
from pathlib import Path

# The town is a module of this folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))
