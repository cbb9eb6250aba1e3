"""Where a sandbox keeps its files: a directory of its own, used by one sandbox at a time.

A temporary one goes with the sandbox, database and all. A named one stays, but what is in it starts anew with
each sandbox: a chain does not outlive its process, so an earlier wallet or record would belong to nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from solders.keypair import Keypair

from engine.errors import SettingsError

_LOCK = "sandbox.lock"
_TEMPORARY = "liquidation-sandbox-"
_LOCK_DEADLINE_S = 3.0  # the one before may still be ending
_LOCK_POLL_S = 0.05


class StateDirRefused(SettingsError):
    """The directory of --state-dir cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StateDir:
    """The files of one sandbox. `database` is None when the server is to find a temporary place itself."""

    wallet: Path
    database: Path | None

    def write_wallet(self, wallet: Keypair) -> None:
        """Write the liquidator's key file as `solana-keygen` does, readable by this user alone."""
        self.wallet.unlink(missing_ok=True)
        descriptor = os.open(self.wallet, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(list(bytes(wallet)), file)


@contextmanager
def state_directory(named: Path | None) -> Iterator[StateDir]:
    """The named directory, or a temporary one that is removed at the end.

    Raises StateDirRefused when another sandbox is using it or it cannot be written.
    """
    if named is None:
        _sweep()
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, ignore_cleanup_errors=True) as path:
            lock = _open_lock(Path(path))
            try:
                _take(lock, Path(path))
                yield StateDir(Path(path).resolve() / "wallet.json", database=None)
            finally:
                os.close(lock)
        return
    lock = _open_lock(named)
    try:
        _take(lock, named)
        yield StateDir(named.resolve() / "wallet.json", named.resolve() / "database")
    finally:
        os.close(lock)


def _sweep() -> None:
    """Remove the temporary directories of sandboxes that were killed: nobody holds their locks any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            lock = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid() and _try(lock):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _open_lock(named: Path) -> int:
    try:
        named.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(named / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirRefused(
            f"--state-dir {named} cannot be used: {error.strerror}: name another"
        ) from error


def _take(lock: int, named: Path) -> None:
    """Take the lock, waiting a little: a sandbox takes it before it does anything else."""
    until = time.monotonic() + _LOCK_DEADLINE_S
    while not _try(lock):
        if time.monotonic() > until:
            raise StateDirRefused(
                f"--state-dir {named} is used by another sandbox: end that one, or name another directory"
            )
        time.sleep(_LOCK_POLL_S)


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
