"""Opens the console: the one place of the engine that knows of it, and only when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.cli.options import ConsoleFlags, SandboxFlags
from engine.paths import ProfilePaths

if TYPE_CHECKING:
    from engine.setting_sources import Given


def open_console(
    paths: ProfilePaths,
    flags: SandboxFlags | None,
    looks: ConsoleFlags,
    given: Callable[[], Given],
    chosen: Sequence[str],
) -> None:
    """Run the console in this terminal until the operator leaves it; `flags` are those of a sandbox.

    `given` tells the settings of all sources, `chosen` those of the command line, which an engine that the
    console starts gets as well. Raises SettingsError before it takes the screen when it would have to start
    an engine and could not.
    """
    if flags is None and not paths.socket.exists():
        given().settings()
    from tui.main import run_console
    from tui.plan import Choices, LaunchPlan

    arguments = None if flags is None else tuple(flags.arguments())
    for_the_engine = tuple(part for each in chosen for part in ("--set", each))
    sys.exit(run_console(LaunchPlan(paths, arguments, for_the_engine, choices=Choices(*looks))))
