"""The sandbox's directory: what a killed one leaves behind goes when the next begins."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from solders.keypair import Keypair

from engine.sandbox.state_dir import state_directory

HOLDER = """
import sys
from pathlib import Path
from solders.keypair import Keypair
from engine.sandbox.state_dir import state_directory
with state_directory(None) as state:
    state.write_wallet(Keypair())
    print(state.wallet, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds a temporary directory; ours are made beside it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def wallet_of(process: subprocess.Popen[str]) -> Path:
    return Path(process.stdout.readline().strip())


def test_a_living_sandbox_keeps_its_directory_when_another_begins(another) -> None:
    wallet = wallet_of(another)
    with state_directory(None) as ours:
        assert ours.wallet.parent != wallet.parent
        assert wallet.is_file()


def test_the_key_of_a_killed_sandbox_is_gone_when_the_next_has_begun(another) -> None:
    wallet = wallet_of(another)
    another.kill()
    another.wait()
    assert wallet.is_file()
    with state_directory(None) as ours:
        ours.write_wallet(Keypair())
        assert not wallet.parent.exists()
    assert not ours.wallet.parent.exists()


def test_a_directory_of_that_name_that_no_sandbox_made_is_left_alone(another, tmp_path) -> None:
    stranger = tmp_path / "liquidation-sandbox-notes"
    stranger.mkdir()
    (stranger / "kept").write_text("mine")
    with state_directory(None):
        pass
    assert (stranger / "kept").read_text() == "mine"
