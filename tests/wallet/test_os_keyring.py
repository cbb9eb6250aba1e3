"""The operating system's keyring is used only when it protects the key, and is never waited for long."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from keyring.backends import SecretService, chainer, null
from solders.keypair import Keypair

from engine.errors import WalletError
from engine.wallet.os_keyring import refuse_unsafe

KEY = Keypair.from_seed(bytes(range(2, 34)))
OPEN = (
    "from engine.wallet import open_signer; s = open_signer(None, 'trading', 3.0); print(s.address, s.source)"
)


def run(env: dict[str, str], text: str = OPEN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_key_that_the_keyring_s_own_command_stored_signs_in_a_later_session(session: Any) -> None:
    (session.home / "id.json").write_text(json.dumps(list(bytes(KEY))))
    stored = session.run("pw", '"$PYTHON" -m keyring set liquidation-engine trading < "$HOME/id.json"')
    assert stored.returncode == 0, stored.stderr
    opened = session.run("pw", '"$PYTHON" -c "$OPEN"', OPEN=OPEN)
    assert opened.stdout.split() == [str(KEY.pubkey()), "keyring"], opened.stderr

    locked = session.run("another", '"$PYTHON" -c "$OPEN"', OPEN=OPEN)
    assert "KeyringUnusable: The keyring is locked: unlock it" in locked.stderr


def test_a_keyring_without_our_entry_or_with_a_foreign_one_says_what_to_store(session: Any) -> None:
    other = 'printf x | "$PYTHON" -m keyring set other thing'
    empty = session.run("pw", other, '"$PYTHON" -c "$OPEN"', OPEN=OPEN)
    assert "has no entry liquidation-engine/trading: set WALLET_PATH" in empty.stderr

    store = 'printf hunter2 | "$PYTHON" -m keyring set liquidation-engine trading'
    foreign = session.run("pw", store, '"$PYTHON" -c "$OPEN"', OPEN=OPEN)
    assert "entry liquidation-engine/trading cannot be used: it is not a JSON array" in foreign.stderr
    assert "hunter2" not in foreign.stderr


def test_without_a_bus_the_refusal_names_the_keyring_and_the_remedy(
    bare_environment: dict[str, str],
) -> None:
    answer = run(bare_environment)
    assert "Failed to read keypair file: WALLET_PATH is not set" in answer.stderr
    assert "keyring.backends.fail.Keyring is not one that keeps a key safe: set WALLET_PATH" in answer.stderr


def test_a_keyring_that_swallows_everything_is_refused(bare_environment: dict[str, str]) -> None:
    answer = run({**bare_environment, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"})
    assert "keyring.backends.null.Keyring is not one that keeps a key safe" in answer.stderr


def test_a_bus_that_never_answers_is_given_up_after_the_deadline(
    tmp_path: Path, bare_environment: dict[str, str]
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        listener.listen()
        env = {
            **bare_environment,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'bus'}",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring",
        }
        # D-Bus itself gives up logging in after a second.
        answer = run(env, OPEN.replace("3.0", "0.6"))
    assert "KeyringUnusable: The keyring did not answer within 0.6 s: set WALLET_PATH" in answer.stderr


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
