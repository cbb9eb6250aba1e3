"""A session with a real keyring daemon and a home of its own, and the key whose forms are searched for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.wallet.keyring_daemons import daemons_of

DAEMON_END_S = 30.0
UNLOCK = 'printf "%s" "$PW" | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1'


@dataclass(frozen=True)
class Session:
    """Shell commands on a bus of their own, with a keyring that is unlocked by a password."""

    home: Path
    environment: dict[str, str]

    def run(
        self, password: str, *commands: str, text: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run them; `$LE` is the program. Its daemon has ended when this returns."""
        env = {**self.environment, "PW": password, **more}
        done = subprocess.run(
            ["dbus-run-session", "--", "sh", "-c", "\n".join([UNLOCK, *commands])],
            env=env,
            input=text,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=self.home,
        )
        until = time.monotonic() + DAEMON_END_S
        while daemons_of(self.home / ".local" / "share" / "keyrings"):
            assert time.monotonic() < until, "the keyring daemon outlives its bus"
            time.sleep(0.02)
        return done


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """No bus, no settings, and a home that is empty."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}


@pytest.fixture
def session(tmp_path: Path, bare_environment: dict[str, str]) -> Session:
    """A session in a home of its own; skipped where there is no keyring daemon."""
    if not (shutil.which("gnome-keyring-daemon") and shutil.which("dbus-run-session")):
        pytest.skip("needs the Debian packages gnome-keyring and dbus")
    program = f"{sys.executable} -m engine"
    return Session(tmp_path, {**bare_environment, "LE": program, "PYTHON": sys.executable})


@pytest.fixture
def forms_of() -> Callable[[Keypair], list[str]]:
    """The ways in which a key shows up in a text: whole, and its secret half alone."""

    def forms(key: Keypair) -> list[str]:
        whole, seed = bytes(key), bytes(key)[:32]
        found = [str(key), str(Pubkey(seed))]  # base58
        for raw in (whole, seed):
            found += [raw.hex(), base64.b64encode(raw).decode()]
            found += [json.dumps(list(raw))[1:-1], json.dumps(list(raw), separators=(",", ":"))[1:-1]]
        return found

    return forms
