"""`config` shows where every setting comes from, and writes a first file after checking each answer."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from engine.settings import NAMES

NODE = "https://node.example/v2/PROVIDERKEY"


@pytest.fixture(autouse=True)
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is given."""
    monkeypatch.chdir(home)
    return home


def test_every_setting_is_shown_with_its_source_and_no_secret(command, folder, monkeypatch) -> None:
    monkeypatch.setenv("SOLANA_RPC_URL", NODE)
    (folder / ".env").write_text("DATABASE_URL=postgresql://me:hunter2@db/x\n")
    (folder / ".env").chmod(0o600)
    (folder / "config" / "liquidation-engine").mkdir(parents=True)
    (folder / "config" / "liquidation-engine" / "config.toml").write_text("workers = 7\n")
    answer = command("--set", "RETRY_ATTEMPTS=3", "config", "show", "--json")
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(answer.out)["rows"]}
    assert set(rows) == set(NAMES)
    assert rows["DATABASE_URL"] == ("***", ".env")
    assert rows["WORKERS"] == ("7", "config.toml")
    assert rows["RETRY_ATTEMPTS"] == ("3", "command line")
    assert rows["SOLANA_RPC_URL"][1] == "environment"
    assert rows["LOW_LATENCY"] == ("off", "default")
    plain = command("config", "show")
    assert (answer.code, plain.code) == (0, 0)
    for text in (answer.out, answer.err, plain.out, plain.err):
        assert "hunter2" not in text
        assert "PROVIDERKEY" not in text


def test_without_a_node_the_others_are_shown_all_the_same(command) -> None:
    answer = command("config", "show", "--json")
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(answer.out)["rows"]}
    assert rows["SOLANA_RPC_URL"] == ("", "not set")
    assert rows["SOLANA_WS_URL"][0] == ""


def test_a_file_with_secrets_that_others_can_read_is_told_of(command, folder) -> None:
    (folder / ".env").write_text("HERMES_API_KEY=hush\n")
    (folder / ".env").chmod(0o644)
    assert command("config", "show").line.endswith(f"`chmod 600 {folder / '.env'}`")


def test_a_first_file_is_asked_for_answer_by_answer_and_read_by_the_next_command(
    command, folder, monkeypatch
) -> None:
    answers = ["ftp://node", NODE, "", "", "99999", "9000"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(answers) + "\n"))
    answer = command("--profile", "storm", "config", "init")
    assert answer.code == 0, answer
    assert "SOLANA_RPC_URL must be a URL" in answer.err
    assert "SERVER_PORT must be a whole number" in answer.err
    path = folder / "config" / "liquidation-engine" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = json.loads(command("--profile", "storm", "config", "show", "--json").out)
    rows = {row["name"]: (row["value"], row["source"]) for row in shown["rows"]}
    assert rows["SERVER_PORT"] == ("9000", "config.toml")
    other = json.loads(command("config", "show", "--json").out)
    assert {row["name"]: row["source"] for row in other["rows"]}["SERVER_PORT"] == "default"
    assert f"{path} exists" in command("config", "init").line


def test_of_a_first_file_whose_questions_find_no_answer_nothing_is_written(
    command, folder, monkeypatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NODE}\n"))
    answer = command("config", "init")
    assert answer.code == 130
    assert "Not answered, nothing was written" in answer.line
    assert not (folder / "config").exists()


def test_an_engine_is_started_by_what_the_files_say(process, folder) -> None:
    (folder / ".env").write_text("SOLANA_RPC_URL=http://127.0.0.1:1\nRPC_TIMEOUT_S=zero\n")
    assert "RPC_TIMEOUT_S (.env) must be a whole number" in process("--no-ui").line
    refusal = process("--set", "wokers=3", "--no-ui").line
    assert "--set 'WOKERS' names no setting (did you mean WORKERS?)" in refusal
    assert "--set before stop means nothing" in process("--set", "WORKERS=3", "stop").line
