"""The operating system's keyring is used only when it protects the key, and is never waited for long."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from keyring.backends import SecretService, chainer, null
from solders.keypair import Keypair

from engine.errors import WalletError
from engine.wallet.os_keyring import refuse_unsafe

KEY = Keypair.from_seed(bytes(range(2, 34)))
OPEN = (
    "from engine.wallet import open_signer; s = open_signer(None, 'trading', 3.0); print(s.address, s.source)"
)

needs_gnome_keyring = pytest.mark.skipif(
    not (shutil.which("gnome-keyring-daemon") and shutil.which("dbus-run-session")),
    reason="needs the Debian packages gnome-keyring and dbus",
)


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PYTHONPATH": str(Path.cwd()), **more}


def run(command: list[str], env: dict[str, str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=env, input=text, capture_output=True, text=True, timeout=60, check=False
    )


def in_session(home: Path, password: str, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run shell commands on a bus of their own, with a keyring daemon unlocked by `password`."""
    unlock = 'printf "%s" "$PW" | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1'
    script = "\n".join([unlock, *commands])
    env = environment(home, PW=password, PYTHON=sys.executable, OPEN=OPEN)
    return run(["dbus-run-session", "--", "sh", "-c", script], env)


@needs_gnome_keyring
def test_a_key_stored_by_the_documented_command_signs_in_a_later_session(tmp_path: Path) -> None:
    (tmp_path / "id.json").write_text(json.dumps(list(bytes(KEY))))
    stored = in_session(
        tmp_path, "pw", '"$PYTHON" -m keyring set liquidation-engine trading < "$HOME/id.json"'
    )
    assert stored.returncode == 0, stored.stderr
    opened = in_session(tmp_path, "pw", '"$PYTHON" -c "$OPEN"')
    assert opened.stdout.split() == [str(KEY.pubkey()), "keyring"], opened.stderr

    locked = in_session(tmp_path, "another", '"$PYTHON" -c "$OPEN"')
    assert "WalletError: The keyring is locked: unlock it" in locked.stderr


@needs_gnome_keyring
def test_a_keyring_without_our_entry_or_with_a_foreign_one_says_what_to_store(tmp_path: Path) -> None:
    empty = in_session(
        tmp_path, "pw", 'printf x | "$PYTHON" -m keyring set other thing', '"$PYTHON" -c "$OPEN"'
    )
    assert "has no entry liquidation-engine/trading: set WALLET_PATH" in empty.stderr

    foreign = in_session(
        tmp_path,
        "pw",
        'printf hunter2 | "$PYTHON" -m keyring set liquidation-engine trading',
        '"$PYTHON" -c "$OPEN"',
    )
    assert "entry liquidation-engine/trading cannot be used: it is not a JSON array" in foreign.stderr
    assert "hunter2" not in foreign.stderr


def test_without_a_bus_the_refusal_names_the_keyring_and_the_remedy(tmp_path: Path) -> None:
    answer = run([sys.executable, "-c", OPEN], environment(tmp_path))
    assert "Failed to read keypair file: WALLET_PATH is not set" in answer.stderr
    assert "keyring.backends.fail.Keyring is not one that keeps a key safe: set WALLET_PATH" in answer.stderr


def test_a_keyring_that_swallows_everything_is_refused(tmp_path: Path) -> None:
    env = environment(tmp_path, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
    answer = run([sys.executable, "-c", OPEN], env)
    assert "keyring.backends.null.Keyring is not one that keeps a key safe" in answer.stderr


def test_a_bus_that_never_answers_is_given_up_after_the_deadline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        listener.listen()
        env = environment(
            tmp_path,
            DBUS_SESSION_BUS_ADDRESS=f"unix:path={tmp_path / 'bus'}",
            PYTHON_KEYRING_BACKEND="keyring.backends.SecretService.Keyring",
        )
        # D-Bus itself gives up logging in after a second.
        answer = run([sys.executable, "-c", OPEN.replace("3.0", "0.6")], env)
    assert "WalletError: The keyring did not answer within 0.6 s: set WALLET_PATH" in answer.stderr


class Impostor(SecretService.Keyring):
    """Passes isinstance, and could do anything with what it is given."""


class Renamed(null.Keyring):
    """Carries the trusted class's name."""


Renamed.__module__ = "keyring.backends.SecretService"
Renamed.__qualname__ = "Keyring"


@pytest.mark.parametrize("kind", [Impostor, Renamed, null.Keyring, chainer.ChainerBackend])
def test_only_the_exact_classes_are_trusted(kind: type) -> None:
    with pytest.raises(WalletError, match="is not one that keeps a key safe"):
        refuse_unsafe(object.__new__(kind))


def test_the_secret_service_itself_is_trusted() -> None:
    refuse_unsafe(object.__new__(SecretService.Keyring))
