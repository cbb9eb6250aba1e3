"""The commands on a real engine on a real sandbox, both started the way the console starts them."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from awaited import until

from engine.api import launcher, wire
from engine.api.client import EngineClient
from engine.errors import OperatorError
from engine.paths import ProfilePaths, profile_paths
from engine.protocol.accounts import POSITION_DISCRIMINATOR_BASE58

SANDBOX = ["--positions", "40", "--seed", "3", "--slot-ms", "100", "--rpc-port", "0", "--ws-port", "0"]
SANDBOX += ["--nodes", "2"]


@dataclass
class Running:
    """What a console would have started, and the commands of its operator."""

    paths: ProfilePaths
    sandbox: launcher.SandboxDescriptor
    engine: launcher.EngineProcess
    environment: dict[str, str]

    def command(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "engine", *arguments],
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            check=False,
        )

    def at_terminal(self, typed: bytes, *arguments: str) -> str:
        """What a command says on stderr when this is typed into its terminal; it is refused."""
        keyboard, terminal = pty.openpty()
        try:
            os.write(keyboard, typed)
            done = subprocess.run(
                [sys.executable, "-m", "engine", *arguments],
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=60,
                env=self.environment,
                check=False,
            )
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def snapshot(self) -> wire.Snapshot:
        """What `status --json` prints, without a process for each look."""
        return asyncio.run(self._ask(EngineClient.snapshot))

    def movements(self) -> list[wire.FundMovementRow]:
        """The fund's newest, as `insurance history` gets them."""
        return asyncio.run(self._ask(lambda engine: engine.fund_history(500, 0))).rows

    async def _ask(self, what: Callable[[EngineClient], Awaitable[Any]]) -> Any:
        async with EngineClient(self.paths.socket) as engine:
            return await what(engine)

    def positions_on_chain(self) -> int:
        """How many position accounts the sandbox's node holds now."""
        only_positions = [{"memcmp": {"offset": 0, "bytes": POSITION_DISCRIMINATOR_BASE58}}]
        options = {"encoding": "base64", "commitment": "processed", "filters": only_positions}
        call = {"jsonrpc": "2.0", "id": 1, "method": "getProgramAccounts"}
        body = json.dumps(call | {"params": [self.sandbox.program_id, options]}).encode()
        request = urllib.request.Request(self.sandbox.rpc_urls[0], body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return len(json.load(answer)["result"])

    def start_engine(self) -> None:
        environment = self.environment | launcher.engine_environment(self.sandbox) | {"SERVER_PORT": "0"}
        self.engine = asyncio.run(launcher.ensure_engine(self.paths, environment, []))

    def end_engine(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.engine.process is not None
        self.engine.process.send_signal(number)
        return self.engine.process.wait(60)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """One sandbox and one engine for all tests of this file; the tests leave the engine running."""
    with tempfile.TemporaryDirectory(prefix="le-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", f"{home}/state")
        patch.setenv("XDG_RUNTIME_DIR", f"{home}/run")
        for name in ("SOLANA_RPC_URL", "DATABASE_URL", "WALLET_PATH", "SERVER_PORT"):
            patch.delenv(name, raising=False)
        paths = profile_paths()
        sandbox = asyncio.run(launcher.ensure_sandbox(paths, SANDBOX))
        both = Running(paths, sandbox, launcher.EngineProcess(paths.socket, None), dict(os.environ))
        try:
            both.start_engine()
            yield both
        finally:
            if both.engine.process is not None:
                both.end_engine()
            asyncio.run(launcher.stop_sandbox(paths))


def test_status_shows_the_engine_on_its_cluster_with_every_position(running: Running) -> None:
    def knows_what_the_node_has() -> wire.Snapshot | None:
        """Whoever closed a position is only missed at the next full reading: the engine may know of more."""
        on_chain = running.positions_on_chain()
        taken = running.snapshot()
        return taken if taken.engine.phase == "ready" and taken.book.monitored >= on_chain > 20 else None

    snapshot = until(knows_what_the_node_has)
    assert snapshot.engine.pid == running.engine.process.pid
    told = running.command("status", "--json")
    assert (told.returncode, told.stderr) == (0, "")
    assert msgspec.json.decode(told.stdout, type=wire.Snapshot).engine == snapshot.engine
    answer = running.command("status")
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[0] == "RUNNING"
    assert f"process {snapshot.engine.pid}, profile default" in answer.stdout
    assert re.search(r"^positions +\d+: \d+ healthy, \d+ at risk", answer.stdout, re.MULTILINE)
    assert snapshot.wallet.address in answer.stdout
    assert snapshot.chain.rpc_total == len(running.sandbox.rpc_urls) == 2  # every node of the sandbox is used


def test_a_second_console_attaches_to_what_runs(running: Running) -> None:
    again = asyncio.run(launcher.ensure_sandbox(running.paths, []))
    assert again == running.sandbox
    assert asyncio.run(launcher.ensure_sandbox(running.paths, SANDBOX)) == running.sandbox
    engine = asyncio.run(launcher.ensure_engine(running.paths, {}, []))
    assert not engine.started_here
    assert launcher.engine_pid(running.paths.socket) == running.engine.process.pid


def test_a_sandbox_with_other_options_is_not_mistaken_for_the_one_asked_for(running: Running) -> None:
    with pytest.raises(OperatorError, match=r"has a sandbox with other options .*another --profile"):
        asyncio.run(launcher.ensure_sandbox(running.paths, ["--seed", "99"]))


def test_a_sandbox_is_not_started_under_an_engine_of_another_cluster(
    running: Running, tmp_path: Path
) -> None:
    elsewhere = ProfilePaths("default", tmp_path / "state", running.paths.runtime)
    descriptor = running.paths.sandbox_descriptor
    kept = descriptor.rename(descriptor.with_suffix(".kept"))
    try:
        with pytest.raises(OperatorError, match="An engine of another cluster runs in profile default"):
            asyncio.run(launcher.ensure_sandbox(elsewhere, []))
    finally:
        kept.rename(descriptor)


def test_a_stop_holds_over_a_restart_until_somebody_resumes_with_a_reason(running: Running) -> None:
    answer = running.command("stop", "--reason", "drill")
    assert (answer.returncode, answer.stderr) == (0, "")
    gate = running.snapshot().gate
    assert (gate.state, gate.reason, gate.persisted) == ("stopped", "drill", True)
    assert running.command("status").stdout.splitlines()[0].startswith("STOPPED by ")

    assert running.end_engine() == 0
    running.start_engine()
    assert running.snapshot().gate.state == "stopped"

    until(lambda: running.snapshot().engine.phase == "ready")
    assert "the stop stays in force" in running.at_terminal(b"\x04", "resume", "--reason", "drill over")
    answer = running.command("resume", "--yes", "--reason", "drill over")
    assert answer.returncode == 0, answer.stderr
    assert "Stopped by " in answer.stdout
    assert '"drill"' in answer.stdout
    assert "ok " in answer.stdout  # the checks are shown
    assert running.snapshot().gate.state == "running"
    assert "there is no stop to lift" in running.command("resume", "--yes", "--reason", "again").stdout


def test_a_stop_with_no_engine_is_obeyed_by_the_next_start(running: Running) -> None:
    assert running.end_engine(signal.SIGINT) == 0
    answer = running.command("stop", "--reason", "night")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "No engine runs in profile default: the next one that starts will be stopped.\n"
    order = json.loads(running.paths.standing_stop.read_text())
    assert order["reason"] == "night"
    assert abs(order["at_ns"] - time.time_ns()) < 60e9
    assert running.paths.standing_stop.stat().st_mode & 0o077 == 0
    assert "the next one that starts will be stopped" in running.command("status").stderr

    running.start_engine()
    gate = running.snapshot().gate
    assert (gate.state, gate.reason) == ("stopped", "night")
    until(lambda: running.snapshot().engine.phase == "ready")
    assert running.command("resume", "--yes", "--reason", "morning").returncode == 0
    assert not running.paths.standing_stop.exists()


def test_a_stop_that_the_engine_does_not_answer_says_so_and_is_left_for_the_next_start(
    running: Running,
) -> None:
    pid = running.engine.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = running.command("stop", "--reason", "hangs")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer.returncode == 1
    assert f"(process {pid}) does not answer and may still be sending: `kill -9 {pid}`" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert json.loads(running.paths.standing_stop.read_text())["reason"] == "hangs"
    # The request reached the engine's socket all the same, so it is stopped once it runs again.
    until(lambda: running.snapshot().gate.state == "stopped")
    assert running.command("resume", "--yes", "--reason", "awake").returncode == 0
    running.paths.standing_stop.unlink(missing_ok=True)


def test_clear_queue_and_retry_answer_in_the_engines_words(running: Running) -> None:
    cleared = running.command("clear-queue")
    assert (cleared.returncode, cleared.stderr) == (0, "")
    assert cleared.stdout.strip()
    refused = running.command("retry", "000000000000")
    assert refused.returncode == 1
    assert refused.stderr.startswith("liquidation-engine: ")
    assert refused.stderr.count("\n") == 1


def test_a_contribution_is_typed_twice_arrives_once_and_chain_and_record_agree(running: Running) -> None:
    before = until(lambda: running.snapshot().fund)
    for typed in ("0.6", "", "yes"):
        refused = running.command("insurance", "contribute", "0.5", typed=f"{typed}\n")
        assert refused.returncode == 1
        assert "500000000 lamports (0.500000000 SOL)" in refused.stdout, "it was rehearsed"
        assert "is not 0.5: nothing was sent" in refused.stderr
    sent = running.command("insurance", "contribute", "0.5", typed="0.50\n")
    assert sent.returncode == 0, sent.stderr
    match = re.search(r"Sent (\w+): 500000000 lamports", sent.stdout)
    assert match is not None

    until(lambda: match[1] in {each.signature for each in running.movements()})
    history = running.command("insurance", "history", "--limit", "500")
    assert history.returncode == 0, history.stderr
    (row,) = (line for line in history.stdout.splitlines() if line.endswith(match[1]))
    assert "  contribution +0.500000000 SOL  " in row
    after = running.snapshot().fund
    assert after is not None
    assert after.total_contributions_lamports >= before.total_contributions_lamports + 500_000_000
    shown = running.command("insurance", "show")
    assert re.search(r"^balance +[\d,.]+ SOL, minimum", shown.stdout), shown.stderr
    assert " in the record: they agree" in shown.stdout


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "1e400", "0.0000000001", "one"])
def test_what_is_no_amount_of_sol_is_refused_before_anything_is_asked(command: Any, amount: str) -> None:
    refused = command("insurance", "contribute", "--", amount)  # where no engine runs that could be asked
    assert (refused.code, refused.out) == (2, "")
    assert "is no amount of SOL" in refused.line


def test_verify_finds_cluster_wallet_and_database_of_the_profiles_sandbox(running: Running) -> None:
    answer = running.command("verify", "--json")
    assert answer.returncode == 0, answer.stderr
    objects = json.loads(answer.stdout)
    assert set(objects) == {"chain", "database", "violations"}
    assert set(objects["violations"].values()) == {0}
    lines = running.command("verify").stdout
    assert "violations  healthy_submitted" in lines


def test_an_engine_that_cannot_start_is_reported_with_its_own_last_line(
    running: Running, tmp_path: Path, home: Path
) -> None:
    paths = ProfilePaths("other", tmp_path / "state", home / "run")
    key = str(tmp_path / "absent")
    environment = {**running.environment, "SOLANA_RPC_URL": "http://127.0.0.1:1", "WALLET_PATH": key}
    with pytest.raises(
        launcher.StartFailed, match=f"^Failed to read keypair file {key}: no such file"
    ) as caught:
        asyncio.run(launcher.ensure_engine(paths, environment, []))
    assert caught.value.exit_code == 2


def test_a_sandbox_that_cannot_start_is_reported_with_its_own_last_line(tmp_path: Path, home: Path) -> None:
    paths = ProfilePaths("other", tmp_path / "state", home / "run")
    with pytest.raises(launcher.StartFailed, match="--slot-ms 1 is out of range") as caught:
        asyncio.run(launcher.ensure_sandbox(paths, ["--slot-ms", "1"]))
    assert caught.value.exit_code == 2
    assert not paths.sandbox_descriptor.exists()


def test_files_of_a_profile_are_private(running: Running) -> None:
    files = [path for folder in (running.paths.state, running.paths.runtime) for path in folder.iterdir()]
    assert len(files) > 4
    readable = [path.name for path in files if path.stat().st_mode & 0o077 and path.name != "postgres"]
    assert readable == []


def test_the_sandbox_stays_until_its_engine_has_settled_and_recorded_everything(running: Running) -> None:
    process = running.engine.process
    process.terminate()
    asyncio.run(launcher.stop_sandbox(running.paths))
    assert process.poll() == 0
    last = running.paths.engine_log.read_text().splitlines()[-1]
    assert "event=finished" in last
    assert "in_flight=0 shipped=true" in last
    assert launcher.running_sandbox(running.paths) is None
