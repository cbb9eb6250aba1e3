"""The rules for Prometheus: they are valid, they fire when they should, and they are the engine's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import metrics_in, samples, wrong_matchers

from engine.telemetry.alert_rules import RULES

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "monitoring" / "alerts.yml"
STORIES = Path(__file__).parent / "alerts_test.yml"
OUTSIDE = {"EngineDown", "EngineHangs", "EngineNotReady"}
DURATIONS_S = {"0s": 0, "5s": 5, "10s": 10, "30s": 30, "1m": 60, "5m": 300}


def promtool(*arguments: str) -> str:
    """What it says; fails when it finds something wrong."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool: Debian package prometheus")
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_promtool_finds_the_rules_valid() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(ALERTS))


def test_the_example_configuration_is_valid_and_names_the_rules() -> None:
    said = promtool("check", "config", str(ROOT / "monitoring" / "prometheus.yml"))
    assert "1 rule files found" in said
    assert f"{len(rules())} rules found" in said


def test_each_rule_fires_when_it_should_and_not_before_or_after() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(STORIES))


def test_every_rule_has_a_story_in_which_it_fires() -> None:
    stories = yaml.safe_load(STORIES.read_text())["tests"]
    fired = {
        check["alertname"]
        for story in stories
        for check in story["alert_rule_test"]
        if check.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in rules()}


def test_the_guides_three_rules_are_there_by_their_names_and_waits() -> None:
    first = rules()[:3]
    assert [rule["alert"] for rule in first] == ["HighFailureRate", "InsuranceFundLow", "HighLatency"]
    assert [rule["for"] for rule in first] == ["5m", "1m", "5m"]
    assert [rule["annotations"]["summary"] for rule in first] == [
        "High liquidation failure rate",
        "Insurance fund below 10 SOL",
        "95th percentile latency > 100ms",
    ]


def test_prometheus_and_the_engine_watch_the_same_things_alike() -> None:
    for_prometheus = {
        rule["labels"]["rule"]: (rule["labels"]["severity"], DURATIONS_S[rule.get("for", "0s")])
        for rule in rules()
        if rule["alert"] not in OUTSIDE
    }
    assert for_prometheus == {rule.name: (rule.severity.value, rule.for_s) for rule in RULES}
    assert len(rules()) == len(RULES) + len(OUTSIDE)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_reads_only_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    named = metrics_in(rule["expr"]) - {"up"}
    assert named or rule["alert"] == "EngineDown"
    assert named - samples().keys() == set()
    assert wrong_matchers(rule["expr"]) == []
