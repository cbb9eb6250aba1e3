"""A sandbox as its own process, and clients from npm that run against it as their authors published them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The installation and what a script told are modules of this folder, the guide's TypeScript is one of
# tests/guide's; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parents[1] / "guide"))
sys.path.insert(0, str(Path(__file__).parent))
from installing import ATTEMPT_DEADLINE_S, ATTEMPTS, RegistryUnreachable, installed_clients
from telling import Told, running_sandbox, told_in

HERE = Path(__file__).parent
SCRIPT_DEADLINE_S = 60.0
# The first test to need the clients may have to install them.
INSTALLING_DEADLINE_S = ATTEMPTS * ATTEMPT_DEADLINE_S + SCRIPT_DEADLINE_S
GLOBALS_SINCE_NODE_19 = ("--experimental-global-webcrypto", "--experimental-global-customevent")

Run = Callable[..., Told]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test here the time of an installation."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(INSTALLING_DEADLINE_S))


@pytest.fixture(scope="session")
def node() -> list[str]:
    """The command that runs a script; node 18 has to be told to show what later ones show by themselves."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm: apt-get install nodejs npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20, check=True)
    major = int(version.stdout.removeprefix("v").split(".")[0])
    if major < 18:
        pytest.skip(f"needs node 18 or newer, not {version.stdout.strip()}: apt-get install nodejs")
    return ["node", *(GLOBALS_SINCE_NODE_19 if major < 19 else ())]


@pytest.fixture(scope="session")
def workshop(node: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, from which the clients can be imported."""
    try:
        clients = installed_clients()
    except RegistryUnreachable as error:
        if os.environ.get("CI"):
            pytest.fail(f"the clients cannot be installed: {error}")
        pytest.skip(f"the npm registry cannot be reached: {str(error).splitlines()[0]}")
    folder = tmp_path_factory.mktemp("clients") / "scripts"
    shutil.copytree(HERE / "scripts", folder)
    (folder / "node_modules").symlink_to(clients / "node_modules")
    return folder


@pytest.fixture(scope="module")  # while others are tested it would only take their processor
def sandbox() -> Iterator[dict[str, str]]:
    """Where a sandbox of quick slots is, with positions of both generations in it."""
    with running_sandbox(
        "--seed", "7", "--positions", "60", "--slot-ms", "100", "--rpc-port", "0", "--ws-port", "0"
    ) as where:
        yield where


@pytest.fixture(scope="module")
def run(node: list[str], workshop: Path, sandbox: dict[str, str]) -> Run:
    """Run a script against the sandbox; the same call is run once and its account kept."""
    accounts: dict[tuple[str, ...], Told] = {}

    def run_once(script: str, *arguments: str) -> Told:
        call = (script, *arguments)
        if call not in accounts:
            accounts[call] = told_in(
                [*node, script, sandbox["rpc_url"], sandbox["ws_url"], *arguments],
                workshop,
                SCRIPT_DEADLINE_S,
            )
        return accounts[call]

    return run_once


@pytest.fixture(scope="session")
def idl() -> dict[str, object]:
    """The IDL in our tree."""
    path = HERE.parents[1] / "engine" / "sandbox" / "program" / "liquidation_engine.json"
    loaded: dict[str, object] = json.loads(path.read_text())
    return loaded
