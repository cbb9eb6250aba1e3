"""Chooses where the signing key comes from, and makes the signer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from engine.errors import WalletError
from engine.wallet.key_file import read_credential, read_key_file
from engine.wallet.os_keyring import DEADLINE_S, KeyringUnusable, NoEntry, is_bus_there, read_keyring
from engine.wallet.process import forbid_memory_reading
from engine.wallet.secret import SecretKey
from engine.wallet.signer import KeypairSigner, Signer

CREDENTIAL: Final = "wallet"


class OpenedKey(NamedTuple):
    """A key, and where it came from in words for a status line."""

    secret: SecretKey
    source: str


def open_signer(
    wallet_path: Path | None, profile: str, deadline_s: float = DEADLINE_S, *, source: str = "auto"
) -> Signer:
    """The signer of the key that `open_key` finds. Raises WalletError."""
    return KeypairSigner(*open_key(wallet_path, profile, deadline_s, source=source))


def open_key(
    wallet_path: Path | None, profile: str, deadline_s: float = DEADLINE_S, *, source: str = "auto"
) -> OpenedKey:
    """The key from the `source` of WALLET_SOURCE: credential, keyring, file, or the first that has one.

    Blocks up to `deadline_s` on a keyring: call it before the event loop runs. Closes this process's memory
    to others first. Raises WalletError; with auto also when `wallet_path` is another wallet's than the one
    that comes before it, since passing over a file that was named would be to sign with the wrong wallet.
    """
    forbid_memory_reading()
    if source == "credential":
        return _required_credential()
    if source == "keyring":
        return OpenedKey(read_keyring(profile, deadline_s), "keyring")
    if source == "file":
        if wallet_path is None:
            raise WalletError(
                "Failed to read keypair file: WALLET_SOURCE is file and WALLET_PATH is not set: set it"
            )
        return _of_file(wallet_path)
    return _first(wallet_path, profile, deadline_s)


def _first(wallet_path: Path | None, profile: str, deadline_s: float) -> OpenedKey:
    named = None if wallet_path is None else _of_file(wallet_path)
    found = _credential()
    if found is None and named is None:
        return OpenedKey(read_keyring(profile, deadline_s), "keyring")
    if found is None and is_bus_there():
        found = _of_usable_keyring(profile, deadline_s)
    if found is None or named is None:
        opened = found or named
        assert opened is not None
        return opened
    if found.secret.address() != named.secret.address():
        raise WalletError(
            f"Two wallets are named: {found.secret.address()} by the {found.source} and "
            f"{named.secret.address()} by WALLET_PATH: "
            f"set WALLET_SOURCE to {found.source.split()[-1]} or to file"
        )
    return found


def _of_file(path: Path) -> OpenedKey:
    return OpenedKey(read_key_file(path), f"file {path.name}")


def _of_usable_keyring(profile: str, deadline_s: float) -> OpenedKey | None:
    try:
        return OpenedKey(read_keyring(profile, deadline_s), "keyring")
    except (KeyringUnusable, NoEntry):
        return None


def _credential() -> OpenedKey | None:
    """The key that the service manager gave this service, if it did."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not os.path.lexists(Path(folder, CREDENTIAL)):
        return None
    return OpenedKey(read_credential(Path(folder, CREDENTIAL)), "systemd credential")


def _required_credential() -> OpenedKey:
    opened = _credential()
    if opened is None:
        raise WalletError(
            f"Failed to read keypair file: no credential named {CREDENTIAL} was given to this service: "
            f"add LoadCredentialEncrypted={CREDENTIAL}:FILE to its unit, or set another WALLET_SOURCE"
        )
    return opened
