"""A console in a pseudo-terminal: however it ends, the terminal is as it was and the exit status is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminals import ALTERNATE_OFF, ALTERNATE_ON, ROOT, TerminalConsole

from engine.paths import ProfilePaths


def console(paths: ProfilePaths) -> TerminalConsole:
    return TerminalConsole(paths.state, paths.runtime)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_restores_the_terminal_and_ends_with_its_own_status(
    served: ProfilePaths, number: signal.Signals, status: int
) -> None:
    with console(served) as terminal:
        terminal.shows("● RUNNING")
        assert ALTERNATE_ON in terminal.output
        terminal.signal(number)
        terminal.read_until(ALTERNATE_OFF)
        assert terminal.process.wait(10) == status
        terminal.drain()
        written = terminal.output.rpartition(ALTERNATE_OFF)[2]
        assert b"\x1b[?25h" in written
        assert b"\x1b[?1003l" in terminal.output
        assert terminal.attributes() == terminal.before


def test_a_terminal_that_goes_away_ends_the_console(served: ProfilePaths) -> None:
    with console(served) as terminal:
        terminal.shows("● RUNNING")
        terminal.hang_up()
        assert terminal.process.wait(10) == 129


def test_a_terminal_that_nobody_reads_does_not_keep_the_console_alive(served: ProfilePaths) -> None:
    with console(served) as terminal:
        terminal.shows("● RUNNING")
        # Fill the pty and the app's own queue of writes: the event loop hangs in its next write.
        for _ in range(60):
            terminal.send(b"?\x1b[27u")
        terminal.signal(signal.SIGSTOP)
        terminal.signal(signal.SIGCONT)
        terminal.signal(signal.SIGTERM)
        assert terminal.process.wait(10) == 143


def test_quitting_leaves_the_terminal_and_says_that_the_engine_runs_on(served: ProfilePaths) -> None:
    with console(served) as terminal:
        terminal.shows("● RUNNING")
        terminal.send(b"q")
        terminal.shows("Leave running")
        terminal.send(b"l")
        terminal.shows("The engine runs on.")
        assert terminal.process.wait(10) == 0
        assert terminal.attributes() == terminal.before


def test_the_stop_key_works_from_the_keyboard(served: ProfilePaths) -> None:
    with console(served) as terminal:
        terminal.shows("● RUNNING")
        terminal.send(b"\x05")
        terminal.shows("■ STOPPED")


def test_a_console_without_a_terminal_says_what_to_use_instead(paths: ProfilePaths) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.paths import ProfilePaths;"
        "from tui.main import run_console; from tui.plan import LaunchPlan;"
        f"sys.exit(run_console(LaunchPlan(ProfilePaths('t', Path({str(paths.state)!r}), Path('/nowhere')))))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert "--no-ui" in ended.stderr
    assert "status" in ended.stderr


CRASHING = """
import asyncio, sys
from pathlib import Path
from engine.paths import ProfilePaths
from tui.app import ConsoleApp
from tui.plan import LaunchPlan

class Crashing(ConsoleApp):
    def action_help(self):
        secret_key = "hunt" + "er2"
        raise RuntimeError("broken")

async def main():
    app = Crashing(LaunchPlan(ProfilePaths("t", Path(sys.argv[1]), Path("/nowhere")), attach_only=True))
    try:
        async with app.run_test() as pilot:
            await pilot.press("question_mark")
    except RuntimeError:
        print(app.farewell)
    return app.return_code

sys.exit(asyncio.run(main()))
"""


def test_a_crash_leaves_one_line_a_traceback_without_variables_and_status_1(
    paths: ProfilePaths, tmp_path: Path
) -> None:
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    ended = subprocess.run(
        [sys.executable, str(script), str(paths.state)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "The console crashed (RuntimeError); the engine runs on. Traceback: " in ended.stdout
    path = Path(ended.stdout.strip().rpartition(": ")[2])
    assert path.stat().st_mode & 0o777 == 0o600
    report = path.read_text()
    assert 'raise RuntimeError("broken")' in report
    assert "hunter2" not in report + ended.stdout + ended.stderr
