"""Refused commands in the audit: a row for each, and in a flood one row for all that came above so many.

Who may not command can still ask, as often as the socket takes it: neither the audit nor the log may grow by
as much.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from engine.actor import Actor

log = structlog.get_logger("api")

ROWS = 20  # in WINDOW_S; what comes above is counted, and told by one row at its end
WINDOW_S = 60.0

Write = Callable[[Actor, str, str], Awaitable[None]]


class RefusedCalls:
    """Belongs to the listeners' loop. `write` makes a row of who, which command, and why."""

    def __init__(self, write: Write, *, rows: int = ROWS, window_s: float = WINDOW_S) -> None:
        self._write = write
        self._rows = rows
        self._window_s = window_s
        self._written = 0
        self._ends_s = 0.0
        self._more: Counter[tuple[str, str]] = Counter()
        self._telling: asyncio.Task[None] | None = None

    async def note(self, caller: Actor, command: str, code: str, why: str) -> None:
        """One more. `command` and `code` come from bounded lists, as what is counted is kept by them."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._ends_s and not self._more:
            self._ends_s, self._written = now_s + self._window_s, 0
        if self._written < self._rows:
            self._written += 1
            await self._write(caller, command, why)
            return
        self._more[command, code] += 1
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_later(self._ends_s - now_s))

    async def close(self) -> None:
        """Tell what was only counted so far."""
        if self._telling is not None:
            self._telling.cancel()
        await self._tell()

    async def _tell_later(self, wait_s: float) -> None:
        await asyncio.sleep(max(0.0, wait_s))
        self._ends_s = 0.0
        await self._tell()

    async def _tell(self) -> None:
        if not self._more:
            return
        more, self._more = self._more, Counter()
        told = ", ".join(f"{count} {command} ({code})" for (command, code), count in more.most_common())
        try:
            await self._write(Actor("several"), "refused", f"{more.total()} more within a minute: {told}")
        except TimeoutError:
            # The engine hangs: they are told with the next ones.
            self._more.update(more)
            log.warning("refused calls are not in the audit yet", count=more.total())
