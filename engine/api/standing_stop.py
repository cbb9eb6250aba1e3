"""An emergency stop for an engine that does not run: a durable order that its next start obeys."""

from __future__ import annotations

import json
import os
import pwd
import time

from engine.errors import OperatorError
from engine.paths import ProfilePaths


class StopNotKept(OperatorError):
    """The disk refuses the order: the next start would not know of it."""

    exit_code = 1


def leave_standing_stop(paths: ProfilePaths, reason: str) -> None:
    """Write the order {by, at_ns, reason} and return when it would survive a power cut.

    The first order stays: a second one changes neither who stopped nor why. Raises StopNotKept.
    """
    order = json.dumps({"by": _operator(), "at_ns": time.time_ns(), "reason": reason})
    scratch = paths.standing_stop.with_suffix(f".{os.getpid()}")
    try:
        paths.prepare()
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, order.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not paths.standing_stop.exists():
            scratch.replace(paths.standing_stop)
        scratch.unlink(missing_ok=True)
        folder = os.open(paths.state, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StopNotKept(
            f"The stop cannot be written to {paths.standing_stop} ({error.strerror}): "
            "start no engine until the disk is mended"
        ) from None


def _operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
