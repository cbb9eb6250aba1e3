"""The real engine lives through every scenario, alone and in a busy market, and breaks no rule."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.sandbox.market.scenarios import Scenario

ROOT = Path(__file__).parents[2]
BUSY = (
    *("--behaviour", "rival_share=0.4", "--behaviour", "congestion=0.3"),
    *("--behaviour", "closings_per_minute=20", "--behaviour", "top_ups_per_minute=60"),
)
# What a scenario is expected to make liquidatable among 200 positions within 20 s.
AT_LEAST = {Scenario.CRASH: 40, Scenario.FLASH: 20, Scenario.GAP: 30, Scenario.REPLAY: 5}
CANDLES = (
    "timestamp_utc_iso,open,high,low,close,volume\n"
    "2021-05-19T12:00:00Z,40,41,36,37,1\n"
    "2021-05-19T12:01:00Z,37,37,31,32,1\n"
)


@pytest.mark.long
@pytest.mark.parametrize("behaviour", [(), BUSY], ids=["alone", "busy"])
@pytest.mark.parametrize("scenario", Scenario)
def test_a_headless_run_ends_without_a_violation(
    scenario: Scenario, behaviour: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = ["--seed", "7", "--positions", "200", "--scenario", scenario.value, *behaviour]
    if scenario is Scenario.REPLAY:
        file = tmp_path / "sol.csv"
        file.write_text(CANDLES)
        arguments += ["--prices", f"SOL={file}"]
    run = subprocess.run(
        [sys.executable, "-m", "engine", "--sandbox", "--no-ui", *arguments, "--duration", "20", "--summary"],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2_000:]
    summary = json.loads(run.stdout)
    assert summary["drained"] is True
    assert set(summary["violations"].values()) == {0}
    if not behaviour:
        done = summary["liquidations"]["full"] + summary["liquidations"]["partial"]
        assert done >= AT_LEAST.get(scenario, 0)
        assert summary["chain"]["landed_with_error"] == 0
