"""The real engine on a sandbox in trouble keeps every promise; trouble that cannot be read is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STORM = {
    "seed": 7,
    "landing": {"lost_share": 0.1, "late_share": 0.1, "late_slots": 5, "fail_share": 0.15},
    "http": {
        "error_share": 0.03,
        "drop_share": 0.01,
        "rate_limit_share": 0.02,
        "latency": {"kind": "lognormal", "p50_ms": 3, "p99_ms": 60},
    },
    "websocket": {"drop_share": 0.05, "reorder_share": 0.05, "repeat_share": 0.05},
    "forks": {"every_slots": 40, "depth_slots": 2},
}


def test_an_engine_on_pythons_own_event_loop_liquidates_in_a_storm_and_breaks_no_promise(
    process: Callable[..., Any], tmp_path: Path
) -> None:
    storm = tmp_path / "storm.json"
    storm.write_text(json.dumps(STORM))
    answer = process(
        *("--sandbox", "--no-ui", "--positions", "60", "--seed", "7", "--slot-ms", "50"),
        *("--scenario", "crash", "--duration", "5", "--summary"),
        *("--trouble", str(storm), "--trouble", "landing.drop_share=0.1"),
        EVENT_LOOP="asyncio",
        SERVER_PORT="0",
        timeout_s=110,
    )
    assert answer.code == 0, answer.err
    assert "event_loop=asyncio" in answer.err
    summary = json.loads(answer.out)
    assert summary["drained"] is True
    assert set(summary["violations"].values()) == {0}
    liquidations, chain, database = (summary[name] for name in ("liquidations", "chain", "database"))
    succeeded = liquidations["full"] + liquidations["partial"]
    assert chain["liquidation_transactions_landed"] == database["liquidations"] == succeeded > 0
    # The storm was there: some landed with an error, paid for it, and were tried again.
    assert chain["landed_with_error"] > 0
    assert database["attempts_with_error"] >= chain["landed_with_error"]
    assert database["fees_lamports"] == chain["fees_lamports"]


@pytest.mark.parametrize("command", [("sandbox",), ("--sandbox", "--no-ui")])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "storm.json is not JSON"),
        ('{"http": {"drop_share": 2}}', "--trouble http.drop_share 2: "),
        ('{"weather": "bad"}', "--trouble weather"),
    ],
)
def test_a_broken_trouble_file_is_one_line_and_exit_code_2(
    command: tuple[str, ...],
    content: str,
    complaint: str,
    process: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("storm.json").write_text(content)
    answer = process(*command, "--trouble", "storm.json", timeout_s=60)
    assert (answer.code, answer.out) == (2, "")
    assert complaint in answer.line


def test_trouble_and_nodes_need_a_sandbox(command: Callable[..., Any]) -> None:
    answer = command("--trouble", "landing.lost_share=1", "--nodes", "2")
    assert answer.code == 2
    assert "--trouble, --nodes need --sandbox" in answer.line


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--nodes", "0"), "--nodes 0 is out of range: give 1 to 8"),
        (("--nodes", "9"), "--nodes 9 is out of range"),
        (("--hermes-port", "70000"), "--hermes-port 70000 is out of range"),
        (("--hermes-port", "8899"), "--hermes-port 8899 is a port of the node"),
        (("--hermes-key", "two words"), "--hermes-key must be"),
        (("--trouble", "nowhere.json"), "nowhere.json is neither KEY=VALUE nor a file"),
    ],
)
def test_a_wrong_flag_of_nodes_hermes_or_trouble_is_named(
    flags: tuple[str, ...], complaint: str, command: Callable[..., Any]
) -> None:
    answer = command("sandbox", *flags)
    assert answer.code == 2
    assert complaint in answer.line
