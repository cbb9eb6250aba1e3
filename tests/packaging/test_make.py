"""`make` sets up once, says in one line what is missing, and hands bad input on with its exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that set-up reads."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def commands(folder: Path, *tools: str, **scripts: str) -> str:
    """A PATH that has these tools of the machine and these scripts, and nothing else."""
    bin_ = folder / "bin"
    bin_.mkdir()
    for tool in tools:
        (bin_ / tool).symlink_to(str(shutil.which(tool)))
    for name, script in scripts.items():
        path = bin_ / name.replace("_", ".")
        path.write_text(script)
        path.chmod(0o755)
    return str(bin_)


def test_a_second_call_installs_nothing_and_a_changed_lock_does(checkout: Path) -> None:
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    now = time.time()
    for name, age_s in (("requirements.lock", 20), ("pyproject.toml", 20)):
        os.utime(checkout / name, (now - age_s, now - age_s))
    stamp.touch()
    assert make(checkout, "--dry-run", "run").stdout.split() == [".venv/bin/liquidation-engine", "--sandbox"]
    os.utime(checkout / "requirements.lock", (now + 5, now + 5))
    assert "--require-hashes" in make(checkout, "--dry-run", "run").stdout


def test_a_python_that_is_too_old_is_one_line(checkout: Path) -> None:
    # What an interpreter older than 3.11 answers to the question whether it is old.
    path = commands(checkout, "make", "sh", python3="#!/bin/sh\nexit 1\n", python3_11="#!/bin/sh\nexit 1\n")
    answer = make(checkout, "run", PATH=path)
    first, *rest = answer.stderr.splitlines()
    assert first == (
        "Python 3.11 or newer is needed and none was found: "
        "install it, or name it: make PYTHON=/path/to/python3"
    )
    assert all(line.startswith("make: ***") for line in rest)
    assert answer.returncode == 2
    assert not (checkout / ".venv").exists()


def test_a_python_without_its_venv_module_is_one_line(checkout: Path) -> None:
    python = '#!/bin/sh\ncase "$1" in -c) exit 0;; *) echo noise >&2; exit 1;; esac\n'
    answer = make(checkout, "run", PATH=commands(checkout, "make", "sh", python3=python))
    assert "python3 cannot make a virtual environment: install its venv module" in answer.stderr
    assert "noise" not in answer.stderr
    assert answer.returncode == 2


def test_an_unknown_benchmark_is_one_line_that_names_the_known_ones() -> None:
    if make(ROOT, "--question", ".venv/.installed").returncode != 0:
        pytest.skip("this checkout was not set up by make: `make test` does that")
    answer = make(ROOT, "bench", "ONLY=sandbox_ready,nonsense")
    first = answer.stderr.splitlines()[0]
    assert first.startswith("benchmarks: unknown id nonsense: choose ")
    assert "sandbox_ready" in first
    assert answer.returncode == 2
    assert answer.stdout == ""
