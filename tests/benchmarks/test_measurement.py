"""A benchmark's line says what was found, on which side of its goal, and how that compares."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.__main__ import GROUPS
from benchmarks.measurement import Baseline, Measurement


def test_a_latency_is_better_when_it_is_lower() -> None:
    found = Measurement("a", "ms", [3.0, 1.0, 2.0], n=30, goal=2.0, baseline=Baseline("plain", 9.0))
    assert json.loads(found.line()) == {
        "id": "a",
        "value": 2.0,
        "unit": "ms",
        "n": 30,
        "spread": [1.0, 3.0],
        "goal": 2.0,
        "met": True,
        "baseline": {"name": "plain", "value": 9.0},
        "ratio": 4.5,
    }
    assert not Measurement("a", "ms", [2.1], n=1, goal=2.0).met


def test_a_rate_is_better_when_it_is_higher() -> None:
    found = Measurement(
        "b", "1/s", [20.0], n=1, goal=25.0, higher_is_better=True, baseline=Baseline("plain", 40.0)
    )
    line = json.loads(found.line())
    assert (line["met"], line["ratio"]) == (False, 0.5)


def test_without_a_baseline_there_is_no_ratio() -> None:
    line = json.loads(Measurement("c", "s", [1.0], n=1, goal=5.0).line())
    assert (line["baseline"], line["ratio"]) == (None, None)


def test_a_figure_of_another_setting_than_the_default_says_which() -> None:
    found = Measurement("d_awake", "us", [1.0], n=1, goal=5.0, setting="LOW_LATENCY=on")
    assert json.loads(found.line())["setting"] == "LOW_LATENCY=on"
    assert "setting" not in json.loads(Measurement("d", "us", [1.0], n=1, goal=5.0).line())


def test_an_unknown_id_is_one_line_with_exit_code_2_and_measures_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "sandbox_ready,what"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    known = [name for names in GROUPS.values() for name in names]
    assert done.stderr == f"benchmarks: unknown id what: choose {', '.join(known)}\n"
