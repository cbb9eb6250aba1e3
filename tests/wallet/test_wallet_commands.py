"""A wallet is made, kept, copied and forgotten on a real keyring, and no command shows or loses its key."""

from __future__ import annotations

import base64
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

CANARY = Keypair.from_seed(bytes(range(3, 35)))
ADDRESS = str(CANARY.pubkey())
PASSPHRASE = "correct horse battery"
# An age file of that key and passphrase as another program may write it: its work factor costs no second.
CHEAP_BACKUP = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBMRnlsYXplVnBjQ0k1Q3FKVTY0czJBIDEwCmlqRXF5S1dqWmpWSTgwZFlm"
    "L0JGTkNtSFRDeHNjZmJRMWhVR0lvMENvV1EKLS0tIGNaNDlHMGwrRmcyUzBTSGoyc05RcWgrU1luUXZ6N1pOZTN2U2FiTlJ5dW8K"
    "tYvVyr0GfMV5rBfVL2WDqCCbgrnxbjDjHU3PrKp17WcDlpo/ONS82ekxmvHkuS7PhZpA/ZKVaBUNRxNd9um6dqL/eX+uQio9+Ny/"
    "MyNeXdummKutMEYEE3bolcMTEjs7FUQWhWj3i5yAjOqi+rwiY9qocFJI8RqwXepcVcvlKZJfKRmBx1SJPEDP1+YJIsbxBT3At0x2"
    "XbnS/CKKkixhpXRWivjRvm6WN8CrjBs7ucwputuRybQrK/EdUeS7SqJ+imiD7x10jCan4ne+OLpByupbRJaFaZXzah6GTn3hkNnJ"
    "IaHSN5ZnUcrT"
)


def key_file(folder: Path, key: Keypair = CANARY, name: str = "id.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(list(bytes(key))))
    path.chmod(0o600)
    return path


def test_a_wallet_lives_through_import_backup_removal_and_restore_and_is_never_shown(
    session: Any, forms_of: Callable[[Keypair], list[str]]
) -> None:
    key_file(session.home)
    done = session.run(
        "pw",
        "set -e",
        "$LE wallet import id.json",
        "$LE wallet show",
        "$LE wallet verify",
        f"printf '{PASSPHRASE}\\n{PASSPHRASE}\\n' | $LE wallet backup wallet.age",
        f"printf '{PASSPHRASE}\\n' | $LE wallet verify --backup wallet.age",
        "echo remove | $LE wallet remove",
        "! $LE wallet show",
        f"printf '{PASSPHRASE}\\n' | $LE wallet restore wallet.age --address {ADDRESS}",
        "echo export | $LE wallet export out.json",
    )
    assert done.returncode == 0, done.stderr
    assert f"address  {ADDRESS}\nsource   keyring" in done.stdout
    assert f"The key of {ADDRESS} signs; it comes from: keyring" in done.stdout
    assert f"Backed up {ADDRESS} to wallet.age, and restored it from there." in done.stdout
    assert "wallet.age restores it" in done.stdout
    assert f"Removed the key of {ADDRESS}" in done.stdout
    assert "has no entry liquidation-engine/default" in done.stderr

    head = (session.home / "wallet.age").read_bytes().split(b"\n")[:2]
    assert head[0] == b"age-encryption.org/v1"
    kind, method, _, factor = head[1].split()
    assert (kind, method) == (b"->", b"scrypt")
    assert int(factor) >= 14, "guessing is dear"

    later = session.run("pw", "$LE wallet show")
    assert ADDRESS in later.stdout, later.stderr

    exported = session.home / "out.json"
    assert json.loads(exported.read_bytes()) == list(bytes(CANARY))
    assert exported.stat().st_mode & 0o777 == 0o600
    in_the_clear = {exported, session.home / "id.json"}
    texts = [done.stdout, done.stderr, later.stdout, later.stderr]
    texts += [
        path.read_bytes().decode("latin-1")
        for path in session.home.rglob("*")
        if path.is_file() and path not in in_the_clear
    ]
    assert len(texts) > 5, "the backup and the keyring's own file are among them"
    assert [form for form in forms_of(CANARY) for text in texts if form in text] == []


def test_nothing_is_written_over(session: Any) -> None:
    key_file(session.home)
    session.home.joinpath("taken").write_text("mine")
    done = session.run(
        "pw",
        "$LE wallet new",
        "$LE wallet new",
        "$LE wallet import id.json",
        "echo export | $LE wallet export taken",
        "$LE wallet new --file taken",
        f"printf '{PASSPHRASE}\\n{PASSPHRASE}\\n' | $LE wallet backup taken",
        "$LE wallet show",
    )
    made = done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[-2] == f"address  {made}", done.stderr
    assert done.stderr.count("holds a key as liquidation-engine/default already, and it is kept") == 2
    assert done.stderr.count("taken exists and is kept") == 3
    assert session.home.joinpath("taken").read_text() == "mine"


def test_a_second_daemon_on_the_same_files_is_refused_before_anything_is_written(session: Any) -> None:
    key_file(session.home)
    second = (
        "dbus-run-session -- sh -c '"
        "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; "
        "$LE wallet import id.json'"
    )
    done = session.run("pw", second, "$LE wallet show")
    assert "2 keyring daemons" in done.stderr
    assert "share one keyring and lose what the other writes" in done.stderr
    assert ADDRESS not in done.stdout


def test_a_named_file_of_another_wallet_than_the_keyring_s_is_refused_until_one_is_chosen(
    session: Any,
) -> None:
    key_file(session.home)
    other = Keypair()
    path = key_file(session.home, other, "other.json")
    done = session.run(
        "pw",
        "$LE wallet import id.json",
        "$LE wallet show",
        "WALLET_SOURCE=file $LE wallet show",
        "WALLET_SOURCE=keyring $LE wallet show",
        "$LE --profile empty wallet show",
        WALLET_PATH=str(path),
    )
    assert (
        f"Two wallets are named: {ADDRESS} by the keyring and {other.pubkey()} by WALLET_PATH" in done.stderr
    )
    assert "set WALLET_SOURCE to keyring or to file" in done.stderr
    shown = done.stdout.split("\n", 2)[2]
    of_file = f"address  {other.pubkey()}\nsource   file other.json\n"
    assert shown == f"{of_file}address  {ADDRESS}\nsource   keyring\n{of_file}"


def test_a_locked_keyring_is_passed_over_for_the_named_file(session: Any) -> None:
    path = key_file(session.home)
    session.run("pw", "$LE wallet new")
    done = session.run(
        "another", "$LE wallet show", "unset WALLET_PATH; $LE wallet show", WALLET_PATH=str(path)
    )
    assert done.stdout == f"address  {ADDRESS}\nsource   file id.json\n"
    assert "The keyring is locked" in done.stderr


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs the Debian package gnupg")
def test_gpg_encrypts_an_exported_key_as_the_guide_does_and_gives_it_back(
    tmp_path: Path, bare_environment: dict[str, str], command: Any
) -> None:
    path = key_file(tmp_path)
    exported = tmp_path / "liquidator-keypair.json"
    answer = command("wallet", "export", str(exported), text="export\n", WALLET_PATH=str(path))
    assert answer.returncode == 0, answer.stderr
    gnupg = tmp_path / "gnupg"
    gnupg.mkdir(mode=0o700)
    quiet = ["gpg", "--homedir", str(gnupg), "--batch", "--pinentry-mode", "loopback", "--passphrase", "pw"]
    for arguments in (
        ["--symmetric", "--cipher-algo", "AES256", str(exported)],
        ["--output", str(tmp_path / "back.json"), "--decrypt", f"{exported}.gpg"],
    ):
        subprocess.run(
            [*quiet, *arguments], env=bare_environment, check=True, capture_output=True, timeout=60
        )
    subprocess.run(["gpgconf", "--homedir", str(gnupg), "--kill", "all"], check=True, timeout=60)
    assert json.loads((tmp_path / "back.json").read_bytes()) == list(bytes(CANARY))


def test_without_the_typed_word_nothing_is_exported(tmp_path: Path, command: Any) -> None:
    path = key_file(tmp_path)
    for text in ("", "yes\n", "EXPORT\n"):
        answer = command("wallet", "export", str(tmp_path / "out.json"), text=text, WALLET_PATH=str(path))
        assert answer.returncode == 2
        assert "was not typed: nothing was done" in answer.stderr
    assert not (tmp_path / "out.json").exists()


def test_a_backup_takes_a_passphrase_that_is_long_and_typed_the_same_twice(
    tmp_path: Path, command: Any
) -> None:
    path, out = key_file(tmp_path), tmp_path / "wallet.age"
    for text, what in (
        ("short\nshort\n", "too short: use 12 characters or more"),
        (f"{PASSPHRASE}\n{PASSPHRASE}x\n", "The two passphrases differ"),
        ("", "too short"),
    ):
        answer = command("wallet", "backup", str(out), text=text, WALLET_PATH=str(path))
        assert answer.returncode == 2
        assert what in answer.stderr
    assert not out.exists()


def test_who_ends_the_input_instead_of_a_passphrase_is_told_that_nothing_was_done(
    tmp_path: Path, bare_environment: dict[str, str]
) -> None:
    out = tmp_path / "wallet.age"
    keyboard, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "wallet", "backup", str(out)],
            stdin=terminal,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**bare_environment, "WALLET_PATH": str(key_file(tmp_path))},
            start_new_session=True,  # else it would ask at the terminal of whoever runs this
        )
        assert process.stderr is not None
        # What is typed before it asks is thrown away.
        asked = process.stderr.read(len("Passphrase of the backup: "))
        assert asked == b"Passphrase of the backup: "
        os.write(keyboard, b"\x04")
        _, told = process.communicate(timeout=60)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert process.returncode == 2
    assert told.decode().endswith("liquidation-engine: Nothing was typed: nothing was done\n")
    assert not out.exists()


def test_a_backup_of_another_wallet_a_wrong_passphrase_and_a_foreign_file_are_refused(
    tmp_path: Path, command: Any
) -> None:
    out, restored = tmp_path / "wallet.age", tmp_path / "restored.json"
    twice = f"{PASSPHRASE}\n{PASSPHRASE}\n"
    out.write_bytes(CHEAP_BACKUP)

    def restore(text: str, *more: str) -> str:
        answer = command("wallet", "restore", str(out), "--file", str(restored), *more, text=text)
        assert answer.returncode == 2
        assert not restored.exists()
        return str(answer.stderr)

    assert f"The backup is of wallet {ADDRESS}, not of" in restore(
        twice, "--address", str(Keypair().pubkey())
    )
    assert "does not open: the passphrase is another" in restore("another passphrase\n")
    out.write_bytes(b"hunter2")
    assert "is no backup of a key" in restore(twice)

    out.write_bytes(CHEAP_BACKUP)
    answer = command("wallet", "restore", str(out), "--file", str(restored), text=twice)
    assert answer.stdout.splitlines()[0] == ADDRESS, answer.stderr
    assert json.loads(restored.read_bytes()) == list(bytes(CANARY))
    assert restored.stat().st_mode & 0o777 == 0o600


def test_the_credential_of_a_service_comes_first_and_needs_no_bus(tmp_path: Path, command: Any) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    credential = key_file(credentials, name="wallet")
    credential.chmod(0o440)  # as systemd leaves it where an access list lets the service's user in
    given = {"CREDENTIALS_DIRECTORY": str(credentials)}
    shown = command("wallet", "show", **given)
    assert shown.stdout == f"address  {ADDRESS}\nsource   systemd credential\n", shown.stderr

    other = key_file(tmp_path, Keypair(), "other.json")
    both = command("wallet", "show", WALLET_PATH=str(other), **given)
    assert "set WALLET_SOURCE to credential or to file" in both.stderr

    credential.chmod(0o444)
    assert "others may read or write it" in command("wallet", "show", **given).stderr
    missing = command("wallet", "show", WALLET_SOURCE="credential")
    assert "no credential named wallet was given to this service" in missing.stderr


def test_only_what_keeps_a_key_reveals_it() -> None:
    engine = Path(__file__).parents[2] / "engine"
    revealing = {
        str(path.relative_to(engine)) for path in engine.rglob("*.py") if ".reveal(" in path.read_text()
    }
    assert revealing == {"cli/wallet.py", "wallet/backup.py", "wallet/os_keyring.py", "wallet/secret.py"}


@pytest.fixture
def command(tmp_path: Path, bare_environment: dict[str, str]) -> Callable[..., Any]:
    """The program in its own process, where no keyring is; `text` is what is typed."""

    def run(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "engine", *arguments],
            env={**bare_environment, **environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            cwd=tmp_path,
        )

    return run
