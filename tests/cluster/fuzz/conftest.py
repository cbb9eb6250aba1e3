"""Lets the fuzz tests share their cases and clients."""

from __future__ import annotations

import sys
from pathlib import Path

# Cases and clients are modules of this folder; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))
