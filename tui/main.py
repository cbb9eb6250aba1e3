"""The way into the console: checks for a terminal, opens the app, and tells the shell how it ended."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import TYPE_CHECKING

from tui.plan import LaunchPlan

if TYPE_CHECKING:
    from tui.app import ConsoleApp

EXIT_NO_TERMINAL = 2
_START_S = 2.0
# New objects before the young ones are looked at, and how often that is before the older ones are, and the
# oldest. Each frame makes thousands that are freed without: at Python's own figures more keys wait.
_GARBAGE = (7_000, 10, 20)
# Read by Textual when it is imported: a key is answered within a frame, and nothing is animated.
_TEXTUAL_SETTINGS = {"TEXTUAL_FPS": "60", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}


def run_console(plan: LaunchPlan) -> int:
    """Open the console of a plan and return the process's exit status when it was left.

    Raises OperatorError before it takes the screen when the operator's files or choices cannot be followed.
    0 after quitting, 1 after a crash, 2 without a terminal, 128 + n after signal n.
    """
    lacking = _lacking_terminal()
    if lacking:
        print(
            f"liquidation-engine: {lacking} is no terminal: "
            "use `--no-ui` to run without a console, `liquidation-engine status` to look",
            file=sys.stderr,
        )
        return EXIT_NO_TERMINAL
    gc.disable()  # what is made until the first data is shown stays: looking for garbage in it takes a tenth
    for name, value in _TEXTUAL_SETTINGS.items():
        os.environ.setdefault(name, value)
    from tui.app import ConsoleApp
    from tui.keymap import all_bindings, read_keymap
    from tui.preferences import config_folder, read_preferences

    folder = config_folder(os.environ)
    keymap = read_keymap(folder, all_bindings())
    preferences = read_preferences(folder, plan.choices, os.environ, keymap)
    app = ConsoleApp(plan, preferences=preferences)
    code = asyncio.run(_run(app, has_mouse=preferences.has_mouse))
    if app.farewell:
        print(app.farewell, file=sys.stderr)
    return code


def _lacking_terminal() -> str:
    """Which of the two streams that the console uses is no terminal; Textual draws on standard error."""
    if sys.__stdin__ is None or not sys.__stdin__.isatty():
        return "standard input"
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        return "standard error, on which the console draws,"
    return ""


def _collect_garbage() -> None:
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    gc.enable()


async def _run(app: ConsoleApp, *, has_mouse: bool) -> int:
    from tui.terminal import TerminalGuard

    loop = asyncio.get_running_loop()
    assert sys.__stdin__ is not None
    assert sys.__stderr__ is not None

    def leave(code: int) -> None:
        loop.call_soon_threadsafe(lambda: app.exit(return_code=code))

    TerminalGuard(sys.__stdin__.fileno(), sys.__stderr__.fileno(), leave).install()
    loop.call_later(_START_S, _collect_garbage)
    await app.run_async(mouse=has_mouse)
    return app.return_code or 0
