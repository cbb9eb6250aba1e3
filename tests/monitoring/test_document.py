"""Every command of docs/monitoring.md on a real engine, and its tables held against what there is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from awaited import PATIENCE_S, until
from post_office import PostOffice, post_office
from promql import families

from engine.api import launcher
from engine.paths import profile_paths
from engine.telemetry.alert_rules import RULES

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()
SANDBOX = ["--positions", "40", "--seed", "3", "--slot-ms", "100", "--rpc-port", "0", "--ws-port", "0"]
COMMANDS = [
    line.strip()
    for block in re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    rows = DOCUMENT.split(f"\n{heading}\n", 1)[1].split("\n## ")[0].split("\n| --- ", 1)[1].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")]


def test_the_table_of_alerts_has_every_rule_with_its_severity_and_its_wait() -> None:
    waits = {0: "at once", 5: "5 s", 10: "10 s", 30: "30 s", 60: "1 min", 300: "5 min"}
    written = [(row[0].strip("`"), row[1], row[3]) for row in table("## Alerts")]
    assert written == [(rule.name, rule.severity.value, waits[int(rule.for_s)]) for rule in RULES]


def test_the_table_of_metrics_has_every_metric_and_no_other() -> None:
    written = {name for row in table("## Metrics") for name in re.findall(r"`(\w+)`", row[0])}
    counters = {name + "_total" for name, family in families().items() if family.type == "counter"}
    others = {name for name, family in families().items() if family.type != "counter"}
    assert written == counters | others


@dataclass
class Watched:
    """An engine on a sandbox, and a server that takes its alerts; `office` lives in a thread of its own."""

    port: int
    environment: dict[str, str]
    office: PostOffice

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line of the document in a shell, with what differs from engine to engine put in its place."""
        return subprocess.run(
            ["bash", "-c", line.replace("localhost:8080", f"127.0.0.1:{self.port}")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            cwd=ROOT,
            check=False,
        )

    def alerts(self) -> list[dict[str, Any]]:
        answer = self.run("liquidation-engine alert list --json")
        assert answer.returncode == 0, answer.stderr
        rows: list[dict[str, Any]] = json.loads(answer.stdout)["alerts"]
        return rows


@pytest.fixture(scope="module")
def office() -> Iterator[PostOffice]:
    """Takes messages while the tests wait for commands."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = post_office()
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(PATIENCE_S)
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def watched(office: PostOffice) -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="le-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", f"{home}/state")
        patch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
        for name in ("SOLANA_RPC_URL", "DATABASE_URL", "WALLET_PATH", "SERVER_PORT"):
            patch.delenv(name, raising=False)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        patch.setenv("ALERT_URLS", f"{office.url}/hook")
        patch.setenv("ALERT_GROUP_S", "0")
        paths = profile_paths()
        sandbox = asyncio.run(launcher.ensure_sandbox(paths, SANDBOX))
        environment = dict(os.environ) | launcher.engine_environment(sandbox) | {"SERVER_PORT": "0"}
        engine = asyncio.run(launcher.ensure_engine(paths, environment, []))
        try:
            found = until(lambda: re.search(r"event=listening .*port=(\d+)", paths.engine_log.read_text()))
            yield Watched(int(found[1]), dict(os.environ), office)
        finally:
            if engine.process is not None:
                engine.process.terminate()
                engine.process.wait(60)
            asyncio.run(launcher.stop_sandbox(paths))


def test_the_document_has_the_commands_that_are_tried_here_and_with_the_rules() -> None:
    assert len(COMMANDS) == 8
    assert COMMANDS[1].startswith("liquidation-engine alert acknowledge ")
    assert [line for line in COMMANDS if line.startswith("promtool ")] == [
        "promtool check config monitoring/prometheus.yml",
        "promtool check rules monitoring/alerts.yml",
        "promtool test rules tests/monitoring/alerts_test.yml",
    ]


def test_an_alert_is_listed_acknowledged_and_sent(watched: Watched) -> None:
    assert watched.run("liquidation-engine stop --reason 'a drill'").returncode == 0

    def stopped() -> dict[str, Any] | None:
        return next((row for row in watched.alerts() if row["rule"] == "stopped"), None)

    alert = until(stopped)
    listed = watched.run(COMMANDS[0])
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.search(rf"^ *{alert['id']}  warning  since .* on  stopped: .*a drill$", listed.stdout, re.M)

    acknowledged = watched.run(COMMANDS[1].replace(" 3", f" {alert['id']}"))
    assert acknowledged.returncode == 0, acknowledged.stderr
    assert acknowledged.stdout.startswith("Acknowledged by ")
    assert next(row for row in watched.alerts() if row["id"] == alert["id"])["acknowledged_by"]
    assert "seen by " in watched.run(COMMANDS[0]).stdout
    refused = watched.run("liquidation-engine alert acknowledge 999999")
    assert (refused.returncode, "No alert with the id 999999 is on" in refused.stderr) == (1, True)

    told = until(lambda: [post for post in watched.office.posts if "stopped" in post["title"]])
    assert "a drill" in told[0]["text"]
    assert watched.run("liquidation-engine resume --yes --reason 'it is over'").returncode == 0
    until(lambda: next(row for row in watched.alerts() if row["id"] == alert["id"])["ended_ns"])
    until(lambda: [post for post in watched.office.posts if "OVER" in post["text"]])


def test_a_bad_id_is_refused_before_anybody_is_asked(watched: Watched) -> None:
    refused = watched.run("liquidation-engine alert acknowledge fund-low")
    assert refused.returncode == 2
    assert "is no alert's ID: copy one from `liquidation-engine alert list`" in refused.stderr


@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if not line.startswith("promtool ") and " acknowledge " not in line]
)
def test_a_command_of_the_document_does_what_it_says(watched: Watched, line: str) -> None:
    if line.startswith("curl ") and shutil.which("curl") is None:
        pytest.skip("needs curl: Debian package curl")
    answer = watched.run(line)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout


def test_a_scrape_of_a_real_engine_has_what_the_guide_asks_for(watched: Watched) -> None:
    def scraped() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{watched.port}/metrics", timeout=PATIENCE_S) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return str(answer.read().decode())

    text = until(lambda: "engine_ready 1.0" in (found := scraped()) and found)
    for name in ("liquidations_total", "liquidation_latency_seconds_bucket", "positions_monitored"):
        assert f"\n{name}{{" in text
    assert re.search(r"^insurance_fund_balance [1-9]", text, re.M)
    assert "\nfailed_liquidations_total{" in text
