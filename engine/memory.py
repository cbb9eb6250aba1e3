"""The process's memory after a load: what lives as long as the engine is taken out of the collector's sight.

A collection that walks everything holds the loop up for as long as a fifth of a second. And what a load used
for a while stays with the C library, unless it is asked to give it back.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc


def settle() -> None:
    """Collect once, leave what is left to itself, and give freed buffers back to the system."""
    leave_alone()
    give_back()


async def settle_beside() -> None:
    """The same while the event loop goes on: it waits for the collection alone.

    That takes tens of milliseconds for all that a program is made of, and less than one for what was made
    since `leave_alone` was called.
    """
    leave_alone()
    await asyncio.to_thread(give_back)


def leave_alone() -> None:
    """Collect once; the collector does not look again at what is left."""
    gc.collect()
    gc.freeze()


def give_back() -> bool:
    """Give freed buffers back where the C library can (glibc); returns whether it did."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return False
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return bool(trim(0))
