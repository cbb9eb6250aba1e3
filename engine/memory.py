"""The process's memory after a load: what lives as long as the engine is taken out of the collector's sight.

A collection that walks everything holds the loop up for as long as a fifth of a second. And what a load used
for a while stays with the C library, unless it is asked to give it back.
"""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """Collect once, leave what is left to itself, and give freed buffers back to the system."""
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> bool:
    """Give freed buffers back where the C library can (glibc); returns whether it did."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return False
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return bool(trim(0))
