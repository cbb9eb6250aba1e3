"""Reads a solana-keygen key file, if nobody but us can read it too, and writes one that nobody else can."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.errors import WalletError
from engine.wallet.secret import NotAKey, SecretKey

_LARGEST_FILE: Final = 4096  # 64 numbers with generous white space; anything longer is some other file


def read_key_file(path: Path) -> SecretKey:
    """The key in `path`, which must be a regular file, ours, with no access for group and others.

    Raises WalletError; its one line says what to do and never shows what the file holds.
    """
    return _read(path, _refuse_unsafe)


def read_credential(path: Path) -> SecretKey:
    """The key in a file that the service manager made for this service alone. Raises WalletError.

    It belongs to root or to us, and systemd may give us access by an access list, which shows as the group's.
    """
    return _read(path, _refuse_open_to_others)


def write_new_file(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 that was not there, and see that it lasts and holds what was given.

    Raises WalletError when there is one already, or when the disk refuses; then nothing is left of it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise _unwritten(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
        if path.read_bytes() != content:
            raise OSError(errno.EIO, "it reads back differently")
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritten(path, error) from None


def refuse_taken(path: Path) -> None:
    """For who has long work to do before writing. Raises WalletError when there is such a file already."""
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: Path) -> WalletError:
    return WalletError(f"{_quoted(path)} exists and is kept: give another name")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritten(path: Path, error: OSError) -> WalletError:
    return WalletError(f"{_quoted(path)} cannot be written: {error.strerror}: see to its folder and the disk")


def _read(path: Path, refuse: Callable[[Path, os.stat_result], None]) -> SecretKey:
    try:
        # O_NONBLOCK: a FIFO in the file's place must not hang us before it can be refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _failure(path, *_cannot_open(error)) from None
    try:
        refuse(path, os.fstat(descriptor))
        content = os.read(descriptor, _LARGEST_FILE + 1)
    except OSError as error:
        raise _failure(path, error.strerror or "it cannot be read", "check the disk") from None
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST_FILE:
        raise _failure(path, "it is too long for a key", "set WALLET_PATH to a solana-keygen file")
    try:
        return SecretKey.parse(content)
    except NotAKey as error:
        raise _failure(path, str(error), "set WALLET_PATH to a solana-keygen file") from None


def _refuse_unsafe(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _failure(path, "it is not a regular file", "set WALLET_PATH to a solana-keygen file")
    if status.st_uid != os.geteuid():
        raise _failure(
            path, f"it belongs to user {status.st_uid}", f"run `chown {os.geteuid()} {_quoted(path)}`"
        )
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise _failure(path, f"others may read it (mode {mode:04o})", f"run `chmod 600 {_quoted(path)}`")


def _refuse_open_to_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _failure(path, "it is not a regular file", "load it with LoadCredentialEncrypted=wallet")
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o027:
        mode = stat.S_IMODE(status.st_mode)
        raise _failure(
            path,
            f"others may read or write it (user {status.st_uid}, mode {mode:04o})",
            "let the service manager make it, with LoadCredentialEncrypted=wallet",
        )


def _cannot_open(error: OSError) -> tuple[str, str]:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "no such file", "set WALLET_PATH to your solana-keygen file"
        case errno.ELOOP:
            return "it is a symbolic link", "set WALLET_PATH to the file itself"
        case errno.EACCES | errno.EPERM:
            return "permission denied", "run the engine as the file's owner"
        case _:
            return error.strerror or "it cannot be opened", "set WALLET_PATH to your solana-keygen file"


def _failure(path: Path, what: str, remedy: str) -> WalletError:
    return WalletError(f"Failed to read keypair file {_quoted(path)}: {what}: {remedy}")


def _quoted(path: Path) -> str:
    text = str(path)
    return shlex.quote(text) if text.isprintable() else ascii(text)
