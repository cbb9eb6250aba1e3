"""The end of the program itself, which has a bound: Python would wait for its threads for ever."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
from typing import Final

LEAVE_S: Final = 30.0

_is_ours = threading.Event()


def own_process() -> None:
    """Say that this process is the program's and ends with it: nobody else's is made to end."""
    _is_ours.set()


def leave_in_time() -> None:
    """Have a process of ours end within LEAVE_S, if need be with status 1 and a line for each thread.

    Called when nothing is left to do but to end. A thread that a disk or a resolver never answers would keep
    the process; the clock runs outside of Python, whose own end may hang as well.
    """
    if not _is_ours.is_set() or sys.__stderr__ is None:
        return
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # stderr was closed
        faulthandler.dump_traceback_later(LEAVE_S, exit=True, file=sys.__stderr__)
