"""One engine per wallet, program and cluster: a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from engine.errors import AddressInUse


@contextlib.contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Hold the lock of a state directory; raises AddressInUse when another process holds it."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AddressInUse(
                f"Another engine works with this wallet on this program and cluster ({home}): stop it first"
            ) from error
        yield
    finally:
        os.close(descriptor)
