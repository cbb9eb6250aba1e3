"""What Prometheus and Grafana are given, held against what the engine tells."""

from __future__ import annotations

import sys
from pathlib import Path

# Figures of an engine that is well are tests/telemetry's; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "telemetry"))
sys.path.insert(0, str(Path(__file__).parent))
