"""The token that lets a program of this user stop the engine over loopback TCP, and nothing else.

Everybody on this machine can connect to a TCP port, and so can every web page in a browser: only who may read
the profile's own files knows the token. It is new at each start.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

import structlog

log = structlog.get_logger("api")

_BYTES = 32


class StopToken:
    """256 random bits, kept in memory; the file is how its users learn them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._value = secrets.token_hex(_BYTES)

    def publish(self) -> None:
        """Write the file, for this user alone. Without a disk for it the other ways to stop remain."""
        scratch = self.path.with_suffix(".new")
        try:
            scratch.unlink(missing_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(self._value + "\n")
            scratch.replace(self.path)
        except OSError as error:
            log.error(
                "no stops over TCP: the token cannot be written", path=str(self.path), reason=str(error)
            )

    def withdraw(self) -> None:
        """Remove the file: at the end of the engine the token is worth nothing."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def is_in(self, authorization: str) -> bool:
        """Whether an Authorization header carries it; takes the same time whatever it says."""
        scheme, _, value = authorization.partition(" ")
        # A header may have bytes that are no text: they come as surrogates.
        given = value.strip().encode(errors="surrogateescape")
        is_known = hmac.compare_digest(given, self._value.encode())
        return scheme.lower() == "bearer" and is_known
