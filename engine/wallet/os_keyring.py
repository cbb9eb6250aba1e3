"""Keeps the key in the operating system's keyring, if that is one that really protects it.

The entry is service "liquidation-engine", user = the profile's name, value = what solana-keygen writes.
A keyring may hang for ever on a prompt that nobody sees, so it is asked in a thread with a deadline.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from engine.errors import WalletError
from engine.wallet.keyring_daemons import refuse_second_daemon
from engine.wallet.secret import NotAKey, SecretKey

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

SERVICE: Final = "liquidation-engine"
DEADLINE_S: Final = 10.0
_REMEDY: Final = "set WALLET_PATH to a solana-keygen file of mode 0600, or unlock a desktop keyring"
_DBUS_BACKEND: Final = "keyring.backends.SecretService"
# Exact classes: a subclass, a chain of keyrings or a plaintext store would be accepted by any looser test.
_ALLOWED: Final = (
    (_DBUS_BACKEND, "Keyring"),
    ("keyring.backends.macOS", "Keyring"),
    ("keyring.backends.Windows", "WinVaultKeyring"),
    ("keyring.backends.kwallet", "DBusKeyring"),
    ("keyring.backends.kwallet", "DBusKeyringKWallet4"),
)


class KeyringUnusable(WalletError):
    """There is no keyring, or it is locked, silent, or not one that protects a key."""


class NoEntry(WalletError):
    """The keyring works, and holds no key of this profile."""


def read_keyring(profile: str, deadline_s: float = DEADLINE_S) -> SecretKey:
    """The profile's key. Raises WalletError; its one line says what to do and never shows the entry.

    KeyringUnusable and NoEntry say that another source may be tried; anything else is wrong with our entry.
    """
    text = _within(deadline_s, lambda: _usable().get_password(SERVICE, profile))
    if text is None:
        raise NoEntry(
            f"Failed to read keypair file: WALLET_PATH is not set and the keyring has no entry "
            f"{SERVICE}/{profile}: set WALLET_PATH, or `liquidation-engine wallet import KEYFILE`"
        )
    return _parse(text, profile)


def store_in_keyring(profile: str, secret: SecretKey, deadline_s: float = DEADLINE_S) -> None:
    """Put the key where this profile has none yet, and see that the keyring gives the very same one back.

    Raises WalletError; an entry that exists is kept.
    """
    refuse_second_daemon()

    def store() -> str | None:
        backend = _usable()
        if backend.get_password(SERVICE, profile) is not None:
            raise WalletError(
                f"The keyring holds a key as {SERVICE}/{profile} already, and it is kept: look with "
                "`wallet show`, back it up, then `wallet remove`, or choose another --profile"
            )
        backend.set_password(SERVICE, profile, secret.reveal().decode())
        return backend.get_password(SERVICE, profile)

    text = _within(deadline_s, store)
    if text is None or not _parse(text, profile).is_same(secret):
        raise WalletError(
            "The keyring did not give back the key that it was given: keep the key in a file of mode 0600 "
            "and set WALLET_PATH"
        )


def remove_from_keyring(profile: str, deadline_s: float = DEADLINE_S) -> None:
    """Forget the profile's key, and see that it is gone. Raises WalletError."""
    refuse_second_daemon()

    def remove() -> str | None:
        backend = _usable()
        backend.delete_password(SERVICE, profile)
        return backend.get_password(SERVICE, profile)

    if _within(deadline_s, remove) is not None:
        raise WalletError("The keyring still holds the key: remove its entry with the desktop's own program")


def keyring_class(deadline_s: float = DEADLINE_S) -> str:
    """The class of this session's keyring, which may be trusted and is unlocked. Raises KeyringUnusable."""

    def name() -> str:
        kind = type(_usable())
        return f"{kind.__module__}.{kind.__qualname__}"

    return _within(deadline_s, name)


def is_bus_there() -> bool:
    """Whether it makes sense to ask a keyring: elsewhere than on Linux always, there with a session bus."""
    if sys.platform != "linux":
        return True
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return bool(os.environ.get("DBUS_SESSION_BUS_ADDRESS")) or (
        runtime is not None and Path(runtime, "bus").is_socket()
    )


def _parse(text: str, profile: str) -> SecretKey:
    try:
        return SecretKey.parse(text.encode())
    except NotAKey as error:
        raise WalletError(
            f"The keyring's entry {SERVICE}/{profile} cannot be used: {error}: "
            "`liquidation-engine wallet remove`, then `liquidation-engine wallet import KEYFILE`"
        ) from None


def _within(deadline_s: float, ask: Callable[[], T]) -> T:
    """Run `ask` in a thread of its own that cannot hold up the end of the process."""
    answers: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if answers:
        return answers[0]
    if not failures:
        raise KeyringUnusable(f"The keyring did not answer within {deadline_s:g} s: {_REMEDY}")
    failure = failures[0]
    if isinstance(failure, WalletError):
        raise failure
    # The text of a foreign exception may hold anything; its class says enough.
    raise KeyringUnusable(f"The keyring failed ({type(failure).__name__}): {_REMEDY}") from None


def _usable() -> KeyringBackend:
    """The keyring, of a trusted class and unlocked. Raises KeyringUnusable."""
    import keyring

    backend = keyring.get_keyring()
    refuse_unsafe(backend)
    if type(backend).__module__ == _DBUS_BACKEND:
        _refuse_locked()
    return backend


def refuse_unsafe(backend: KeyringBackend) -> None:
    """Raise KeyringUnusable, naming the class, unless `backend` is exactly one of the keyrings we trust."""
    kind = type(backend)
    if (kind.__module__, kind.__qualname__) in _ALLOWED:
        genuine = getattr(importlib.import_module(kind.__module__), kind.__qualname__, None)
        if genuine is kind:
            return
    raise KeyringUnusable(
        f"Failed to read keypair file: WALLET_PATH is not set and the keyring "
        f"{kind.__module__}.{kind.__qualname__} is not one that keeps a key safe: {_REMEDY}"
    )


def _refuse_locked() -> None:
    """Raise KeyringUnusable when the default collection is locked or missing: asking would open a prompt."""
    import secretstorage
    from secretstorage.exceptions import ItemNotFoundException

    connection = secretstorage.dbus_init()
    try:
        collection = secretstorage.Collection(connection, "/org/freedesktop/secrets/aliases/default")
        locked = collection.is_locked()
    except ItemNotFoundException:
        raise KeyringUnusable(f"The keyring has no default collection yet: {_REMEDY}") from None
    finally:
        connection.close()
    if locked:
        raise KeyringUnusable(
            "The keyring is locked: unlock it (`gnome-keyring-daemon --unlock`), or set WALLET_PATH"
        )
