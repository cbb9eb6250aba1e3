"""The engine with its console in the same process and loop, as it must not be: what that costs is measured.

`python -m benchmarks.console_inside` needs a terminal, and the settings of an engine in its environment.
"""

from __future__ import annotations

import asyncio
import os

from engine import transport
from engine.chain.sender import Sender
from engine.cli import headless
from engine.paths import profile_paths
from engine.setting_sources import Given
from tui.app import ConsoleApp
from tui.plan import LaunchPlan


class SenderBesideConsole(Sender):
    """The engine's own sender; a console runs in its loop from the time when it is made ready."""

    async def __aenter__(self) -> SenderBesideConsole:
        self._console = asyncio.create_task(
            ConsoleApp(LaunchPlan(profile_paths(), attach_only=True)).run_async()
        )
        await super().__aenter__()
        return self


if __name__ == "__main__":
    vars(transport).update(Sender=SenderBesideConsole)
    given = Given(os.environ, dict.fromkeys(os.environ, "environment"))
    headless.run(profile_paths(), None, given, duration_s=None, with_summary=False)
