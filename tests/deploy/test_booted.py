"""A machine that systemd booted runs the engine by deploy/README.md: hardened, its key a credential."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clients"))
sys.path.insert(0, str(Path(__file__).parents[1] / "guide"))
sys.path.insert(0, str(Path(__file__).parent))
from booted import Machine, Told, as_root, machine, why_none
from documents import fences
from guide_blocks import kept_blocks
from telling import running_sandbox

DOCUMENT = "deploy/README.md"
ENV = "/etc/liquidation-engine/config.env"
COMMANDS = [
    command
    for each in fences()
    if each.document == DOCUMENT and not each.not_run
    for command in each.commands
]
STEPS = [
    step.command for each in kept_blocks() for step in each.steps if step.by == "tests/deploy/test_booted.py"
]
ACTIVE = "until systemctl is-active -q liquidation-engine; do sleep 0.2; done"
SHOW = "systemctl show liquidation-engine -p NRestarts -p Result -p ExecMainStatus -p StatusText"

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(why_none()), reason=why_none() or "it can"),
]


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Told]]:
    """What each command said: the document's and the guide's, and what an accident and an end are like."""
    folder = Path(tempfile.mkdtemp(prefix="booted-"))
    try:
        with (
            running_sandbox("--positions", "40", "--rpc-port", "0", "--ws-port", "0") as where,
            machine(folder) as made,
        ):
            yield tried(made, where)
    except OSError as error:
        pytest.skip(f"no machine can be booted here: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tried(made: Machine, where: dict[str, str]) -> dict[str, Told]:
    shutil.copy(where["wallet_path"], made.root / "opt/liquidation-engine/liquidator-keypair.json")
    # The last line that names a setting holds. This run's Python may look for its library in a hidden folder.
    settings = {
        "SOLANA_RPC_URL": where["rpc_url"],
        "SOLANA_WS_URL": where["ws_url"],
        "SERVER_PORT": "0",
        "WALLET_PATH": "",
        "LD_LIBRARY_PATH": "/opt/python/lib",
    }
    lines = "".join(f"\\n{name}={value}" for name, value in settings.items())
    kept = [command for command in COMMANDS if "systemctl" not in command and "sudo" not in command]
    then = [command for command in COMMANDS if command not in kept]
    commands = [
        *kept,
        f"printf '{lines}\\n' >> {ENV}",
        *then,
        "systemctl reload liquidation-engine && sleep 1",
        *(step for step in STEPS if step not in then),
        "systemctl kill --kill-whom=main -s KILL liquidation-engine; sleep 11; " + ACTIVE,
        SHOW,
        "journalctl -u liquidation-engine --no-pager",
        "journalctl -u liquidation-engine --no-pager -p err",
        "systemctl stop liquidation-engine",
        f"{SHOW} # at the end",
    ]
    found = made.run([as_root(each) for each in commands])
    return dict(zip(commands, found, strict=True))


def test_each_command_of_the_document_and_of_the_guide_ends_well(told: dict[str, Told]) -> None:
    assert len(COMMANDS) >= 8
    assert len(STEPS) == 4
    for command in (*COMMANDS, *STEPS):
        assert told[command].status == 0, told[command]


def test_it_is_started_when_it_is_ready_and_takes_its_key_from_the_credential(told: dict[str, Told]) -> None:
    [started] = [
        each.text for command, each in told.items() if command == "systemctl status liquidation-engine"
    ]
    assert "Active: active (running)" in started
    [asked] = [each.text for command, each in told.items() if command.endswith("liquidation-engine status")]
    assert "RUNNING" in asked
    assert re.search(r"wallet .*\(systemd credential\)", asked), asked
    assert re.search(r"database +ok", asked), asked


def test_what_is_killed_is_started_again_and_what_is_stopped_ends_well(told: dict[str, Told]) -> None:
    assert "NRestarts=1" in told[SHOW].text, told[SHOW].text
    ended = told[f"{SHOW} # at the end"].text
    assert {"Result=success", "ExecMainStatus=0"} <= set(ended.split("\n")), ended


def test_the_journal_has_its_lines_by_priority(told: dict[str, Told]) -> None:
    whole = told["journalctl -u liquidation-engine --no-pager"].text
    assert "Liquidation Engine monitoring program: " in whole
    assert "settings reloaded" in whole
    of_errors = told["journalctl -u liquidation-engine --no-pager -p err"].text
    assert "Liquidation Engine monitoring program: " not in of_errors
    assert "denied" not in whole.lower()
    assert os.environ["PATH"] not in whole
