"""Closes this process's memory to other processes of the same user, before a key is in it."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from engine.errors import WalletError

_PR_SET_DUMPABLE: Final = 4


def forbid_memory_reading() -> None:
    """No core dumps, and on Linux no reading of /proc/PID/mem and no ptrace by our own user.

    Call it after the last exec, which would undo it. Raises WalletError when the kernel refuses.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise WalletError(
            "The kernel refused to close this process's memory to others: "
            "allow prctl(PR_SET_DUMPABLE) in the sandbox that the engine runs in"
        )
