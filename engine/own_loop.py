"""Event loops in threads of their own, and the way from one to the engine's.

The listeners run beside the engine's loop, so that a stop is heard and answered while that one is busy; all
else that they ask for is done where the engine's parts belong.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import uvloop

T = TypeVar("T")

END_S = 10.0  # a thread that hangs in a dead disk is left behind, and ends with the process


class Engine(Protocol):
    """Where the engine's parts may be touched."""

    async def look(self, work: Callable[[], T]) -> T:
        """Run it there."""
        ...

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there to its end."""
        ...


class SameLoop:
    """The engine's loop is the one that asks."""

    async def look(self, work: Callable[[], T]) -> T:
        """Run it here."""
        return work()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it here to its end."""
        return await work


class OtherLoop:
    """The engine's loop belongs to another thread. Raises TimeoutError when it is busy for `deadline_s`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deadline_s: float) -> None:
        self._loop = loop
        self._deadline_s = deadline_s

    async def look(self, work: Callable[[], T]) -> T:
        """Run it there."""

        async def once() -> T:
            return work()

        return await self.run(once())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there to its end; it is cancelled when that takes too long."""
        async with asyncio.timeout(self._deadline_s):
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


class OwnLoop:
    """A thread with an event loop. An async context manager of another loop."""

    def __init__(self, name: str) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, END_S)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the thread's loop, and return or raise what it does."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()
