"""`--no-ui`: the engine in the foreground, ended by a signal or a duration, and honest in its summary."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

QUICK = ("--sandbox", "--no-ui", "--positions", "60", "--seed", "7", "--slot-ms", "50")


class Foreground:
    """A foreground engine and the service manager that it reports to; killed when the test is over."""

    def __init__(self, folder: Path) -> None:
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.settimeout(0.2)
        self.heard: list[str] = []
        self._log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine", *QUICK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(folder / "notify"),
                "WATCHDOG_USEC": "1000000",
                "SERVER_PORT": "0",
            },
        )

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def told(self, deadline_s: float = 60) -> str:
        """The next step that the manager is told; fails at once when the engine has ended instead."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            try:
                told = self._manager.recv(300).decode()
                self.heard.append(told)
                if not told.startswith(("STATUS=", "WATCHDOG=")):
                    return told
            except TimeoutError:
                assert self.process.poll() is None, self.log()
        raise AssertionError(f"told nothing in {deadline_s} s: {self.log()}")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._manager.close()
        self._log.close()


@pytest.fixture
def foreground(home: Path) -> Iterator[Foreground]:
    """A foreground engine on a private sandbox, ready."""
    engine = Foreground(home)
    try:
        assert engine.told() == "READY=1"
        yield engine
    finally:
        engine.close()


# What the command does, and at its end what it had to load for it.
RUN_AND_TELL = """
import json, sys
from engine.cli.main import main
try:
    main()
except SystemExit as ended:
    console = [name for name in sys.modules if name.split(".")[0] in ("textual", "tui", "plotext")]
    print(json.dumps([ended.code, console, "engine.runtime" in sys.modules]))
"""


# An engine of which a task deep in it goes on after its first cancellation, beside a process that ends.
LOSES_A_CANCELLATION = """
import asyncio, os
from pathlib import Path
from engine import runtime
from engine.cli import headless
from engine.cli.failures import failing_in_one_line
from engine.paths import ProfilePaths
from engine.settings import load_settings

async def go_on():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()

async def nested(depth):
    async with asyncio.TaskGroup() as group:
        group.create_task(nested(depth - 1) if depth else go_on())

async def run_engine(*_, **__):
    await nested(2)

async def run():
    process = await asyncio.create_subprocess_exec("true")
    settings = load_settings({"SOLANA_RPC_URL": "http://127.0.0.1:1"})
    paths = ProfilePaths("default", Path("state"), Path("run"))
    one = headless._Headless(paths, None, False)
    await one.on_cluster(settings, None, lambda: settings, None, process)

runtime.run_engine, headless.END_S = run_engine, 0.1
with failing_in_one_line():
    headless._run("uvloop", run())
"""


def test_an_engine_in_which_a_cancellation_is_lost_ends_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOSES_A_CANCELLATION],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "the engine does not end, everything in it is cancelled once more" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("liquidation-engine: The sandbox ended too early: see ")


def test_a_crash_is_liquidated_recorded_and_confirmed_without_ever_loading_the_console(
    home: Path, running: Callable[[], list[str]]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, *QUICK, "--scenario", "crash", "--duration", "4", "--summary"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "SERVER_PORT": "0"},
        check=False,
    )
    lines = done.stdout.splitlines()
    assert [json.loads(line) for line in lines[1:]] == [[0, [], True]], done.stderr
    summary = json.loads(lines[0])

    assert summary["drained"] is True
    assert set(summary["violations"].values()) == {0}
    positions, liquidations = summary["positions"], summary["liquidations"]
    assert positions["opened"] == positions["monitored"] >= 60
    succeeded = liquidations["full"] + liquidations["partial"]
    assert succeeded > 0
    assert positions["liquidatable_seen"] >= succeeded
    assert summary["chain"]["liquidation_transactions_landed"] == succeeded
    assert summary["database"]["liquidations"] == succeeded
    failed = summary["database"]["attempts_with_error"] - liquidations["already_liquidated"]
    assert summary["success_rate"] == pytest.approx(succeeded / (succeeded + failed), abs=1e-4)
    for stage in ("detect_to_submit", "submit_to_confirm", "detect_to_confirm"):
        latency = summary["latency_ms"][stage]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] < 60_000
    debt, chain = summary["bad_debt_lamports"], summary["chain"]
    assert debt["covered"] == chain["bad_debt_covered_lamports"]
    assert debt["uncovered"] == chain["bad_debt_uncovered_lamports"]
    assert summary["fund"]["total_bad_debt_covered_lamports"] == debt["covered"]
    assert running() == []
    left = [path.name for path in (home / "state" / "liquidation-engine" / "default").iterdir()]
    assert left == ["sandbox.log"]  # nothing of a cluster that is gone


def test_a_hangup_reads_the_settings_again_and_the_watchdog_hears_of_the_loop(
    foreground: Foreground, home: Path
) -> None:
    folder = home / "config" / "liquidation-engine"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('log_level = "debug"\nworkers = 8\n')
    foreground.process.send_signal(signal.SIGHUP)
    assert foreground.told().startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert foreground.told() == "READY=1"
    assert "settings reloaded" in foreground.log()
    assert "changed=LOG_LEVEL needs_restart=WORKERS" in foreground.log()
    assert foreground.process.poll() is None
    assert "WATCHDOG=1" in foreground.heard
    assert any(told.startswith("STATUS=") for told in foreground.heard)
    for phrase in ("Starting Liquidation Engine Service...", "Database connected successfully"):
        assert f'event="{phrase}"' in foreground.log()


def test_a_signal_ends_engine_sandbox_and_database_with_exit_code_0(
    foreground: Foreground, running: Callable[[], list[str]]
) -> None:
    foreground.process.send_signal(signal.SIGTERM)
    assert foreground.told() == "STOPPING=1"
    out, _ = foreground.process.communicate(timeout=60)
    log = foreground.log()
    assert (foreground.process.returncode, out) == (0, ""), log
    assert [line for line in log.splitlines() if not line.startswith("time=")] == []
    assert running() == []


async def test_a_sandbox_ends_with_an_engine_that_is_killed(
    foreground: Foreground, running: Callable[[], list[str]], eventually: Callable[..., Any]
) -> None:
    assert any(" sandbox " in line for line in running())
    foreground.process.kill()
    await eventually(lambda: running() == [])


def test_an_engine_whose_sandbox_is_killed_says_so_and_ends(foreground: Foreground) -> None:
    pid = foreground.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    foreground.process.communicate(timeout=60)
    assert foreground.process.returncode == 1
    last = foreground.log().splitlines()[-1]
    assert last.startswith("liquidation-engine: The sandbox ended too early: see ")


def test_a_taken_port_is_one_line_that_names_the_setting(process: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        answer = process(*QUICK, SERVER_PORT=port)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(
        "liquidation-engine: Address already in use: set SERVER_PORT "
    )


def test_an_unreachable_node_is_one_line_that_names_the_setting(
    process: Callable[..., Any], home: Path
) -> None:
    key = home / "id.json"
    key.write_text(json.dumps(list(bytes(Keypair()))))
    key.chmod(0o600)
    url = "http://127.0.0.1:1/PROVIDERKEY"
    answer = process("--no-ui", SOLANA_RPC_URL=url, WALLET_PATH=str(key), RPC_TIMEOUT_S="1")
    assert answer.code == 2
    last = answer.err.splitlines()[-1]
    assert last.startswith("liquidation-engine: Solana RPC at http://127.0.0.1:1/… ")
    assert "SOLANA_RPC_URL" in last
    assert "PROVIDERKEY" not in answer.err
