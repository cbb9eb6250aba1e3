"""Every command in README, docs/ and deploy/ is run, or its fence says why not."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from awaited import PATIENCE_S, until
from documents import ROOT, Fence, fences
from guide_blocks import kept_blocks
from guided import Operator

FENCES = fences()
# Documents whose commands have a test of their own, which starts what they need.
OWN_TESTS = {
    "docs/api.md": ("curl ", "tests/api/test_document.py"),
    "docs/monitoring.md": ("", "tests/monitoring/test_document.py"),
    "deploy/README.md": ("", "tests/deploy/test_booted.py"),
}
# What is run until it says something, and ended then; what is run to its end, and takes longer.
UNTIL_IT_SPEAKS = re.compile(r"^liquidation-engine (sandbox\b|status --watch|--dry-run --no-ui)")
LONGER = re.compile(r"^liquidation-engine (sandbox\b|--|drill|status --profile)")
DRY_RUN = "liquidation-engine --dry-run --no-ui"
OF_DRY_RUN = "liquidation-engine status --profile default-dry-run"
KEYRING = re.compile(r"^liquidation-engine wallet")
NOT_RUN = 10


def is_elsewhere(fence: Fence, command: str) -> bool:
    """Whether the document's own test runs the command."""
    beginning, _ = OWN_TESTS.get(fence.document, ("none", ""))
    return command.startswith(beginning)


def cases(*, longer: bool) -> list[Any]:
    """The commands that are tried here one by one."""
    found = [
        (fence.document, command)
        for fence in FENCES
        for command in fence.commands
        if not fence.not_run and not is_elsewhere(fence, command) and not KEYRING.match(command)
    ]
    first: dict[str, str] = {}
    for document, command in found:
        first.setdefault(command, document)
    for step in (step for block in kept_blocks() for step in block.steps if step.by in ("shell", "gpg")):
        first.pop(step.command, None)  # test_steps.py runs it
    return [
        pytest.param(command, id=f"{first[command]}-{command[:50]}")
        for command in first
        if bool(LONGER.match(command)) == longer
    ]


def put(operator: Operator, command: str) -> str:
    """What a document calls by other names than it has here."""
    own = {
        "http://127.0.0.1:8080": f"http://{operator.words['localhost:8080']}",
        "~/.local/state": f"{operator.home}/state",
        "make install": "make --dry-run install",
        "kill -USR1 12345": f"kill -USR1 {operator.ask('/stats')['engine']['pid']}",
    }
    for words, meaning in own.items():
        command = command.replace(words, meaning)
    return command


@pytest.mark.parametrize("command", cases(longer=False))
def test_a_command_of_a_document_does_what_it_says(operator: Operator, command: str) -> None:
    before = {
        "liquidation-engine resume": "liquidation-engine stop --reason 'a test'",
        "liquidation-engine config init": 'rm -rf "$XDG_CONFIG_HOME"',
    }
    for beginning, first in before.items():
        if command.startswith(beginning):
            assert operator.run(first).returncode == 0
    if UNTIL_IT_SPEAKS.match(command):
        assert spoken(operator, command)
        return
    done = operator.run(answered(put(operator, command)))
    # The doctor finds things to mend here, such as a fund that a crash has emptied, and ends with 1.
    ends = (0, 1) if command == "liquidation-engine doctor" else (0,)
    assert done.returncode in ends, done.stdout + done.stderr
    assert done.stdout or not command.startswith("liquidation-engine")


def answered(command: str) -> str:
    """The command with what an operator types when it asks; `script` gives it a terminal."""
    if command.startswith("liquidation-engine resume"):
        return f"echo resume | script -qec {json.dumps(command)} /dev/null"
    if command.startswith("liquidation-engine config init"):
        return f"printf '%s\\n' \"$SOLANA_RPC_URL\" '' '' '' | {command}"
    return command


def spoken(operator: Operator, command: str, meanwhile: str = "", **environment: str) -> str:
    """The first line that a command says which goes on until it is ended; then it is, and ends well.

    `meanwhile` is another command, which works once this one does.
    """
    process = subprocess.Popen(
        ["bash", "-c", f"exec {put(operator, command)}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=operator.checkout,
        env=operator.environment | environment,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if meanwhile:
            until(lambda: operator.run(meanwhile).returncode == 0, lambda: operator.run(meanwhile).stderr)
        is_watching = "--watch" in command
        process.send_signal(signal.SIGINT if is_watching else signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == (130 if is_watching else 0), line + rest
        return line
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("command", cases(longer=True))
def test_a_command_of_a_document_that_takes_longer_does_what_it_says(
    operator: Operator, command: str, tmp_path: Path
) -> None:
    if command in (DRY_RUN, OF_DRY_RUN):
        assert spoken(operator, DRY_RUN, OF_DRY_RUN, SERVER_PORT="0")
        return
    if UNTIL_IT_SPEAKS.match(command):
        assert spoken(operator, command, SERVER_PORT="0")
        return
    places = {"XDG_STATE_HOME": f"{operator.home}/longer", "XDG_RUNTIME_DIR": f"{operator.home}/longer"}
    own = {"SERVER_PORT": "0", **places}
    done = subprocess.run(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=operator.environment | own,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_the_commands_that_no_test_runs_are_few_and_say_why() -> None:
    silent = [fence for fence in FENCES if fence.not_run]
    assert len(silent) == NOT_RUN, [fence.text for fence in silent]
    assert all(len(fence.not_run) > len("takes long") for fence in silent)


def test_each_document_that_a_test_of_its_own_runs_is_named_there() -> None:
    for document, (_, test) in OWN_TESTS.items():
        assert Path(document).name in (ROOT / test).read_text()
    assert sum(len(fence.commands) for fence in FENCES) > 60
