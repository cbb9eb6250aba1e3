"""The metrics are the figures, under the guide's names, and cost the engine nothing."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from figured import NODE, PRICE, SOL, WELL, stage
from prometheus_client.parser import text_string_to_metric_families

from engine.telemetry.figures import Figures
from engine.telemetry.metrics import Metrics


class Kept:
    """Whoever keeps the figures."""

    def __init__(self, **changes: Any) -> None:
        self.figures: Figures = replace(WELL, **changes)
        self.counts: dict[str, int] = {}


def metrics_of(kept: Kept) -> Metrics:
    return Metrics(kept, lambda: {("1 webhook", "failed"): 3}, version="1.2.3", is_dry_run=True)


def values(kept: Kept) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and its labels."""
    text = metrics_of(kept).render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(kept: Kept, name: str, **labels: str) -> float:
    return values(kept)[name, tuple(sorted(labels.items()))]


def test_the_guides_five_have_its_names_and_kinds() -> None:
    text = metrics_of(Kept()).render().decode()
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert kinds["liquidations"] == "counter"  # its sample is liquidations_total
    assert kinds["liquidation_latency_seconds"] == "histogram"
    assert kinds["positions_monitored"] == "gauge"
    assert kinds["insurance_fund_balance"] == "gauge"
    assert kinds["failed_liquidations"] == "counter"
    others = {name for name in kinds if not name.startswith("engine_")}
    assert len(others) == 5


def test_the_five_say_what_the_engine_did() -> None:
    kept = Kept(
        done={("full", "SOL/USD"): 46, ("partial", "SOL/USD"): 96},
        failed_by_outcome={"timeout": 2, "exceeded CUs": 0},
        fund_lamports=52 * SOL + 1,
    )
    assert value(kept, "liquidations_total", action="full", symbol="SOL/USD") == 46
    assert value(kept, "liquidations_total", action="partial", symbol="SOL/USD") == 96
    assert value(kept, "failed_liquidations_total", outcome="timeout") == 2
    assert value(kept, "failed_liquidations_total", outcome="exceeded CUs") == 0
    assert value(kept, "insurance_fund_balance") == 52 * SOL + 1
    assert value(kept, "positions_monitored", band="at risk") == 8


def test_a_histogram_is_cumulative_in_seconds_and_says_exactly_how_many_missed_the_goals() -> None:
    kept = Kept(stages=stage(fast=90, slow=10))
    bucket = "liquidation_latency_seconds_bucket"
    assert value(kept, bucket, le="0.025") == 0
    assert value(kept, bucket, le="0.05") == 90
    assert value(kept, bucket, le="0.1") == 90
    assert value(kept, bucket, le="0.25") == 100
    assert value(kept, bucket, le="+Inf") == value(kept, "liquidation_latency_seconds_count") == 100
    assert value(kept, "engine_stage_seconds_count", stage="detect_to_submit") == 100


def test_what_is_not_known_yet_is_not_told_as_nothing() -> None:
    told = {name for name, _ in values(Kept(fund_lamports=None, wallet_lamports=None))}
    assert "insurance_fund_balance" not in told
    assert "engine_wallet_lamports" not in told
    assert "positions_monitored" in told


def test_a_state_is_one_of_all_that_it_can_be() -> None:
    kept = Kept(
        endpoints=(replace(NODE, state="behind"), replace(NODE, name="other:1", state="ok")),
        prices=(replace(PRICE, verdict="wide confidence"),),
        is_stopped=True,
        stopped_by_itself=True,
    )
    assert value(kept, "engine_rpc_state", endpoint="node:8899", state="behind") == 1
    assert value(kept, "engine_rpc_state", endpoint="node:8899", state="ok") == 0
    assert value(kept, "engine_rpc_state", endpoint="other:1", state="ok") == 1
    assert value(kept, "engine_price_verdict", symbol="SOL/USD", verdict="wide confidence") == 1
    assert value(kept, "engine_price_verdict", symbol="SOL/USD", verdict="ok") == 0
    assert value(kept, "engine_stopped", by="engine") == 1
    assert value(kept, "engine_stopped", by="operator") == 0
    assert value(kept, "engine_info", version="1.2.3", dry_run="yes") == 1
    assert value(kept, "engine_alert_messages_total", channel="1 webhook", result="failed") == 3


def test_rendering_happens_once_for_all_who_ask_between_two_looks() -> None:
    kept = Kept()
    metrics = metrics_of(kept)
    first = metrics.render()
    assert metrics.render() is first
    kept.figures = replace(WELL, done={("full", "SOL/USD"): 1})
    second = metrics.render()
    assert b'liquidations_total{action="full",symbol="SOL/USD"} 1.0' in second
    assert metrics.render() is second


def test_hostile_names_stay_in_their_labels() -> None:
    name = 'x"} 1\nforged_total{a="\\'
    kept = Kept(endpoints=(replace(NODE, name=name),))
    assert value(kept, "engine_rpc_behind_slots", endpoint=name) == 0
    assert all(not sample.startswith("forged") for sample, _ in values(kept))


def test_prometheus_own_tool_reads_them_all() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool: Debian package prometheus")
    done = subprocess.run(
        [program, "check", "metrics"],
        input=metrics_of(Kept(stages=stage(3, 1))).render(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
