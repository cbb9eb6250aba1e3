"""Reads the key from the operating system's keyring, if that is one that really protects it.

The entry is service "liquidation-engine", user = the profile's name, value = what solana-keygen writes.
A keyring may hang for ever on a prompt that nobody sees, so it is asked in a thread with a deadline.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from engine.errors import WalletError
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


def read_keyring(profile: str, deadline_s: float = DEADLINE_S) -> SecretKey:
    """The profile's key. Raises WalletError; its one line says what to do and never shows the entry."""
    text = _within(deadline_s, lambda: _ask(profile))
    try:
        return SecretKey.parse(text.encode())
    except NotAKey as error:
        raise WalletError(
            f"The keyring's entry {SERVICE}/{profile} cannot be used: {error}: "
            f"store a key with `keyring set {SERVICE} {profile} < KEYFILE`"
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
        raise WalletError(f"The keyring did not answer within {deadline_s:g} s: {_REMEDY}")
    failure = failures[0]
    if isinstance(failure, WalletError):
        raise failure
    # The text of a foreign exception may hold anything; its class says enough.
    raise WalletError(f"The keyring failed ({type(failure).__name__}): {_REMEDY}") from None


def _ask(profile: str) -> str:
    import keyring

    backend = keyring.get_keyring()
    refuse_unsafe(backend)
    if type(backend).__module__ == _DBUS_BACKEND:
        _refuse_locked()
    text = backend.get_password(SERVICE, profile)
    if text is None:
        raise WalletError(
            f"Failed to read keypair file: WALLET_PATH is not set and the keyring has no entry "
            f"{SERVICE}/{profile}: set WALLET_PATH, or `keyring set {SERVICE} {profile} < KEYFILE`"
        )
    return text


def refuse_unsafe(backend: KeyringBackend) -> None:
    """Raise WalletError, naming the class, unless `backend` is exactly one of the keyrings we trust."""
    kind = type(backend)
    if (kind.__module__, kind.__qualname__) in _ALLOWED:
        genuine = getattr(importlib.import_module(kind.__module__), kind.__qualname__, None)
        if genuine is kind:
            return
    raise WalletError(
        f"Failed to read keypair file: WALLET_PATH is not set and the keyring "
        f"{kind.__module__}.{kind.__qualname__} is not one that keeps a key safe: {_REMEDY}"
    )


def _refuse_locked() -> None:
    """Raise WalletError when the default collection is locked or missing: asking it would open a prompt."""
    import secretstorage
    from secretstorage.exceptions import ItemNotFoundException

    connection = secretstorage.dbus_init()
    try:
        collection = secretstorage.Collection(connection, "/org/freedesktop/secrets/aliases/default")
        locked = collection.is_locked()
    except ItemNotFoundException:
        raise WalletError(f"The keyring has no default collection yet: {_REMEDY}") from None
    finally:
        connection.close()
    if locked:
        raise WalletError(
            "The keyring is locked: unlock it (`gnome-keyring-daemon --unlock`), or set WALLET_PATH"
        )
