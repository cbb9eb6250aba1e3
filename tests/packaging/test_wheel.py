"""The built wheel, in an empty environment and from another directory, is the whole program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import pytest

from engine import __version__

ROOT = Path(__file__).parents[2]


def run(command: list[str | Path], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network by the build backend of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
    ]
    done = run([*command, ROOT], folder)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of an environment that holds the wheel; its dependencies are borrowed from here."""
    folder = tmp_path_factory.mktemp("venv")
    done = run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    assert done.returncode == 0, done.stderr
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python", "install"]
    done = run([*install, "--no-deps", "--no-index", wheel], folder)
    assert done.returncode == 0, done.stderr
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


def test_the_wheel_holds_the_program_the_schema_and_the_screens_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {
        "engine",
        "tui",
        "migrations",
        f"liquidation_engine-{__version__}.dist-info",
    }
    for suffix, folder in ((".so", "engine/sandbox/program/"), (".sql", "migrations/"), (".tcss", "tui/")):
        in_tree = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(f"*{suffix}")}
        assert in_tree
        assert in_tree <= names
    assert "engine/sandbox/program/liquidation_engine.json" in names
    assert [name for name in names if "__pycache__" in name or name.startswith("tests")] == []


def test_the_command_runs_from_another_directory_and_finds_its_own_files(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "engine").mkdir()  # a folder of that name must not be taken for the program
    (tmp_path / "engine" / "__init__.py").write_text("raise RuntimeError('the wrong engine')")
    done = run([installed / "liquidation-engine", "--version"], tmp_path)
    assert (done.stdout, done.stderr) == (f"liquidation-engine {__version__}\n", "")
    program = (
        "import engine, migrations, engine.sandbox.program as p, importlib.resources as r;"
        "print(engine.__file__);"
        "print(p.load()[:4] == b'\\x7fELF');"
        "print(len([f for f in r.files(migrations).iterdir() if f.name.endswith('.sql')]))"
    )
    done = run([installed / "python", "-P", "-c", program], tmp_path)
    where, elf, migrations = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert elf == "True"
    assert int(migrations) == len(list((ROOT / "migrations").glob("*.sql"))) > 0


def test_the_installed_command_runs_a_whole_sandbox_from_another_directory(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "engine").mkdir()
    flags = "--sandbox --no-ui --positions 20 --slot-ms 50 --seed 2 --scenario crash --duration 2 --summary"
    with tempfile.TemporaryDirectory(prefix="le-") as home:
        places = {"XDG_STATE_HOME": f"{home}/state", "XDG_RUNTIME_DIR": f"{home}/run", "SERVER_PORT": "0"}
        done = run([installed / "liquidation-engine", *flags.split()], tmp_path, **places)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["positions"]["opened"] >= 20
    assert set(summary["violations"].values()) == {0}


def test_the_editable_install_and_the_module_are_the_same_command(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "liquidation-engine"
    if not script.exists():
        pytest.skip("the project is not installed in this environment: `make test` installs it")
    for command in ([script, "--version"], [sys.executable, "-m", "engine", "--version"]):
        assert run(command, ROOT).stdout == f"liquidation-engine {__version__}\n"
