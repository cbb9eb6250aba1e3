"""Waiting for a state, never for a time: every wait has a deadline and says what it waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02
DEADLINE_S = 60.0


async def until(
    what: str,
    condition: Callable[[], Awaitable[T]],
    seconds: float = DEADLINE_S,
    tell: Callable[[], str] = str,
) -> T:
    """Poll until the condition holds and return what it found; after the deadline say what was wanted.

    `tell` adds to the message how things stand.
    """
    end_s = time.monotonic() + seconds
    while True:
        found = await condition()
        if found:
            return found
        if time.monotonic() >= end_s:
            raise AssertionError(f"{what}: not so in {seconds:g} s (last {found!r:.200}). {tell()}")
        await asyncio.sleep(POLL_S)
