"""Whatever cannot be followed is refused in one line that says what to do, with exit code 2 and no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import __version__

REFUSALS = [
    ("--dry-run status", "--dry-run before status means nothing"),
    ("--sandbox --no-ui --dry-run --summary", "a dry run leaves nothing"),
    ("--sandbox --no-ui --profile night-dry-run --summary", "a dry run leaves nothing"),
    ("--foo", "No such option: --foo: see `liquidation-engine --help`"),
    ("--sedd 7", "No such option: --sedd"),
    ("launch", "No such command 'launch'"),
    ("--sandbox --seed", "Option '--seed' requires an argument"),
    ("--sandbox --seed seven", "Invalid value for '--seed'"),
    ("--sandbox --seed -1", "--seed -1 is out of range: give 0 to"),
    ("--sandbox --seed 99999999999999999999", "--seed 99999999999999999999 is out of range"),
    ("--sandbox --positions 1e3", "Invalid value for '--positions'"),
    ("--sandbox --positions -5 --slot-ms 1", "--positions -5 is out of range: give 0 to"),
    ("--sandbox --positions -5 --slot-ms 1", "--slot-ms 1 is out of range: give 20 to"),
    ("--sandbox --scenario boom", "--scenario 'boom' is unknown: choose calm, trend, crash, flash"),
    ("--sandbox --scenario replay", "--scenario replay needs --prices"),
    ("--sandbox --scenario replay --prices SOL", "--prices 'SOL' is not of the form SYMBOL=FILE.csv"),
    ("--sandbox --scenario replay --prices DOGE=x.csv", "unknown symbol: choose SOL/USD, BTC/USD, ETH/USD"),
    ("--sandbox --scenario replay --prices SOL=x.csv", "--prices SOL/USD=x.csv: no such file"),
    ("--sandbox --prices SOL=x.csv", "--prices does not go with --scenario calm"),
    ("--seed 7", "--seed needs --sandbox: add it, or leave --seed out"),
    ("--seed 7 --positions 9 --no-ui", "--seed, --positions need --sandbox"),
    ("--sandbox --duration 3", "--duration needs --no-ui: add it"),
    ("--sandbox --duration 3 --summary", "--duration, --summary need --no-ui"),
    ("--sandbox --no-ui --duration 0", "--duration 0 is out of range"),
    ("--sandbox --no-ui --duration -1", "--duration -1 is out of range"),
    ("--sandbox --no-ui --duration nan", "--duration nan is out of range"),
    ("--sandbox --no-ui --duration soon", "Invalid value for '--duration'"),
    ("--no-ui extra", "No such command 'extra'"),
    ("--seed 7 stop", "--seed before stop means nothing"),
    ("--sandbox sandbox", "--sandbox before sandbox means nothing: leave it out, or put it behind sandbox"),
    ("sandbox --positions many", "Invalid value for '--positions'"),
    ("sandbox --rpc-port 70000", "--rpc-port 70000 is out of range: give 0 to 65535"),
    ("sandbox --rpc-port 9000 --ws-port 9000", "--rpc-port and --ws-port are both 9000"),
    ("stop now", "Got unexpected extra argument"),
    ("resume", "Missing option '--reason'"),
    ("resume --reason done", "resume asks first and there is no terminal: add --yes"),
    ("resume --yes --reason", "Option '--reason' requires an argument"),
    ("retry", "Missing argument 'ID'"),
    ("retry ../../admin/resume", "is no liquidation's ID: copy one from `liquidation-engine status`"),
    ("retry \x1b[2J", "is no liquidation's ID"),
    ("status --profile ../other", "--profile '../other' is no name"),
    ("--profile a/b status", "--profile 'a/b' is no name"),
    ("status", "No engine answers on"),
    ("clear-queue", "No engine answers on"),
    ("retry 0123abcd", "No engine answers on"),
    ("resume --reason done --yes", "No engine answers on"),
    ("--no-ui", "SOLANA_RPC_URL is not set"),
    ("verify", "SOLANA_RPC_URL is not set"),
    ("", "SOLANA_RPC_URL is not set"),
]


@pytest.mark.parametrize(("line", "says"), REFUSALS, ids=[line or "(nothing)" for line, _ in REFUSALS])
def test_it_is_refused_in_one_line_with_exit_code_2_and_nothing_is_written(
    command: Callable[..., Any], home: Path, line: str, says: str
) -> None:
    answer = command(*line.split(" ") if line else ())
    assert says in answer.line
    assert (answer.code, answer.out) == (2, "")
    assert list(home.iterdir()) == []


def test_a_console_without_a_terminal_is_refused_before_anything_starts(
    process: Callable[..., Any], home: Path
) -> None:
    answer = process("--sandbox")
    assert "is no terminal: use `--no-ui` to run without a console" in answer.line
    assert (answer.code, answer.out) == (2, "")
    assert list(home.iterdir()) == []


def test_an_empty_reason_or_one_that_is_too_long_is_refused(command: Callable[..., Any]) -> None:
    assert "--reason is empty" in command("resume", "--yes", "--reason", "  ").line
    assert "--reason has 300 characters: use up to 200" in command("stop", "--reason", "x" * 300).line


def test_bad_settings_are_all_named_at_once(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {
        "SOLANA_RPC_URL": "node",
        "DATABASE_URL": "mysql://u:hunter2@h/d",
        "SERVER_PORT": "x",
        "WORKERS": "0",
    }
    for name, value in bad.items():
        monkeypatch.setenv(name, value)
    answer = command("--no-ui")
    assert [name for name in bad if name not in answer.line] == []
    assert "hunter2" not in answer.line
    assert answer.code == 2
    # A sandbox brings its own node and database; only what it leaves to the environment is wrong.
    answer = command("--sandbox", "--no-ui")
    assert "SERVER_PORT" in answer.line
    assert "WORKERS" in answer.line
    assert "SOLANA_RPC_URL" not in answer.line


def test_a_runtime_directory_whose_path_is_too_long_for_a_socket_is_refused(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / ("x" * 100)))
    answer = command("--sandbox", "--no-ui")
    assert "bytes and may have 107: set XDG_RUNTIME_DIR to a shorter one" in answer.line
    assert (answer.code, list(home.iterdir())) == (2, [])


def test_a_missing_key_file_is_said_in_the_words_that_the_guide_uses(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOLANA_RPC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("WALLET_PATH", str(tmp_path / "absent.json"))
    answer = command("--no-ui")
    assert answer.line.startswith(
        f"Failed to read keypair file {tmp_path / 'absent.json'}: no such file: set"
    )
    assert answer.code == 2


def test_the_version_is_printed_on_stdout(command: Callable[..., Any]) -> None:
    answer = command("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"liquidation-engine {__version__}\n", "")


def test_help_names_every_command_and_option(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    answer = command("--help")
    assert answer.code == 0
    for word in ("sandbox", "stop", "resume", "status", "retry", "clear-queue", "verify"):
        assert word in answer.out
    for flag in ("--sandbox", "--no-ui", "--seed", "--positions", "--scenario", "--prices", "--slot-ms"):
        assert flag in answer.out
    for flag in ("--genesis-positions", "--population", "--behaviour", "--trend"):
        assert flag in answer.out
    for flag in ("--duration", "--summary", "--profile", "--version"):
        assert flag in answer.out
