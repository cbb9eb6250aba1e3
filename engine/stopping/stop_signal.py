"""SIGUSR1 stops the engine; it is held back from every thread but the one that waits for it."""

from __future__ import annotations

import signal
from typing import Final

STOP_SIGNAL: Final = signal.SIGUSR1


def hold_signal() -> None:
    """Call it before any other thread is started, which libraries do when they are imported.

    A signal that comes before the gate is there stays pending, and stops the engine as soon as it is.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {STOP_SIGNAL})


def is_held() -> bool:
    """Whether this thread, and with it those that it starts, is never interrupted by the signal."""
    return STOP_SIGNAL in signal.pthread_sigmask(signal.SIG_BLOCK, ())
