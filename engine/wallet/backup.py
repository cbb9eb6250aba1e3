"""A copy of the key that only a passphrase opens: an age file, which the age tool opens too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from engine.errors import WalletError
from engine.wallet.key_file import refuse_taken, write_new_file
from engine.wallet.secret import NotAKey, SecretKey

SHORTEST_PASSPHRASE: Final = 12
_LARGEST_FILE: Final = 64 * 1024


def write_backup(path: Path, secret: SecretKey, passphrase: str) -> None:
    """Encrypt the key into a new file, and restore it from there before returning.

    Takes 3 seconds and half a GB for a moment, which is what makes guessing dear. Raises WalletError; then no
    file is left.
    """
    from pyrage import EncryptError
    from pyrage.passphrase import encrypt

    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise WalletError(f"The passphrase is too short: use {SHORTEST_PASSPHRASE} characters or more")
    refuse_taken(path)
    try:
        content = encrypt(secret.reveal(), passphrase)
    except EncryptError:
        raise WalletError("The key could not be encrypted: see to the machine's free memory") from None
    write_new_file(path, content)
    try:
        is_same = read_backup(path, passphrase).is_same(secret)
    except WalletError:
        is_same = False
    if not is_same:
        path.unlink(missing_ok=True)
        raise WalletError(
            "The backup could not be restored, so it was not kept: see to the disk, and try again"
        )


def read_backup(path: Path, passphrase: str) -> SecretKey:
    """The key in an age file that a passphrase opens. Raises WalletError."""
    from pyrage import DecryptError
    from pyrage.passphrase import decrypt

    name = ascii(str(path))
    try:
        with open(path, "rb", opener=lambda each, flags: os.open(each, flags | os.O_NONBLOCK)) as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise WalletError(f"The backup {name} cannot be read: {error.strerror}: give another file") from None
    if content is None or not content.startswith(b"age-encryption.org/") or len(content) > _LARGEST_FILE:
        raise WalletError(f"{name} is no backup of a key: give a file that `wallet backup` wrote")
    try:
        return SecretKey.parse(decrypt(content, passphrase))
    except DecryptError:
        raise WalletError(
            f"The backup {name} does not open: the passphrase is another, or the file is damaged: try again"
        ) from None
    except NotAKey as error:
        raise WalletError(f"The backup {name} holds no key: {error}: give another file") from None
