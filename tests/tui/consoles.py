"""Drives a console in a test: keys in, text out, and waiting for a state instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from textual.pilot import Pilot

from engine.paths import ProfilePaths
from tui.app import ConsoleApp
from tui.lines import Lines
from tui.panes.banner import Banner
from tui.plan import LaunchPlan
from tui.preferences import Preferences
from tui.state import Link
from tui.supervisor import EngineHost

INTERVAL_MS = 500


@dataclass
class Console:
    """One console under test."""

    app: ConsoleApp
    pilot: Pilot[Any]

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        paths: ProfilePaths,
        *,
        size: tuple[int, int] = (120, 40),
        host: EngineHost | None = None,
        preferences: Preferences = Preferences(),  # noqa: B008 - frozen
    ) -> AsyncIterator[Console]:
        """A console that may have nobody to talk to; it starts an engine only when it is given a host."""
        plan = LaunchPlan(paths, attach_only=host is None, interval_ms=INTERVAL_MS)
        app = ConsoleApp(plan, host=host, preferences=preferences)
        async with app.run_test(size=size, notifications=True) as pilot:
            yield cls(app, pilot)

    @classmethod
    @asynccontextmanager
    async def attached(
        cls,
        paths: ProfilePaths,
        *,
        size: tuple[int, int] = (120, 40),
        preferences: Preferences = Preferences(),  # noqa: B008 - frozen
    ) -> AsyncIterator[Console]:
        """A console that has shown its first snapshot."""
        async with cls.opened(paths, size=size, preferences=preferences) as console:
            await console.until(lambda: console.app.state.link is Link.LIVE)
            await console.pilot.pause()
            yield console

    async def until(self, holds: Callable[[], bool], deadline_s: float = 20.0) -> None:
        """Return when `holds` does; fail with the banner's text when it does not in time."""
        try:
            async with asyncio.timeout(deadline_s):
                while not holds():
                    await self.pilot.pause(0.01)
        except TimeoutError:
            raise AssertionError(
                f"not within {deadline_s} s; the console says:\n{self.screen_text()}"
            ) from None

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def says(self, text: str) -> None:
        """Return when the screen on top says this."""
        await self.until(lambda: text in self.screen_text())

    def banner(self) -> str:
        """The banner's text, wherever the console is."""
        return self.app.screen_stack[0].query_one(Banner).plain

    def text_of(self, selector: str) -> str:
        """The text of one widget of the screen on top."""
        return self.app.screen.query_one(selector, Lines).plain

    def screen_text(self) -> str:
        """Everything that is painted, line by line, the screens below a dialog too."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)
