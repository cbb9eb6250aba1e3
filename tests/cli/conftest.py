"""Runs the command in this process or in its own, always with a state home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.cli.main import main

SETTINGS = ("SOLANA_RPC_URL", "SOLANA_WS_URL", "DATABASE_URL", "WALLET_PATH", "PROGRAM_ID", "SERVER_PORT")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of stderr, without the program's name; fails when there is another."""
        assert self.err.startswith("liquidation-engine: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.strip().isprintable()
        return self.err.removeprefix("liquidation-engine: ").strip()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh home of states and sockets; nothing is set that a command would read.

    Not pytest's own directory, whose path may be too long for a unix socket.
    """
    with tempfile.TemporaryDirectory(prefix="le-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", f"{folder}/state")
        monkeypatch.setenv("XDG_RUNTIME_DIR", f"{folder}/run")
        monkeypatch.setenv("XDG_CONFIG_HOME", f"{folder}/config")
        monkeypatch.setenv("HOME", folder)
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        yield Path(folder)


@pytest.fixture
def running(home: Path) -> Callable[[], list[str]]:
    """The command lines of processes whose environment names this home."""

    def look() -> list[str]:
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and str(home).encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    return look


Command = Callable[..., Answer]


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process; what it needs no process for is tested this way."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        written = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, written.out, written.err)

    return run


@pytest.fixture
def process(home: Path) -> Command:
    """Run the command line in its own process, with stdin closed."""

    def run(*arguments: str, timeout_s: float = 60, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "engine", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **environment},
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run
