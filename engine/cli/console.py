"""Opens the console: the one place of the engine that knows of it, and only when it is asked for."""

from __future__ import annotations

import os
import sys

from engine.cli.options import ConsoleFlags, SandboxFlags
from engine.paths import ProfilePaths


def open_console(paths: ProfilePaths, flags: SandboxFlags | None, looks: ConsoleFlags) -> None:
    """Run the console in this terminal until the operator leaves it; `flags` are those of a sandbox.

    Raises SettingsError before it takes the screen when it would have to start an engine and could not.
    """
    if flags is None and not paths.socket.exists():
        from engine.settings import load_settings

        load_settings(os.environ)
    from tui.main import run_console
    from tui.plan import Choices, LaunchPlan

    arguments = None if flags is None else tuple(flags.arguments())
    sys.exit(run_console(LaunchPlan(paths, arguments, choices=Choices(*looks))))
