"""However a command fails, the operator reads one line; a fault of ours leaves a report without secrets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.failures import failing_in_one_line
from engine.errors import OperatorError, RpcUnreachable, SettingsError


def outcome(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the line that this error ends a command with."""
    with pytest.raises(SystemExit) as ended, failing_in_one_line():
        raise error
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(r"liquidation-engine: [^\n]+\n", written.err)
    assert isinstance(ended.value.code, int)
    return ended.value.code, written.err.removeprefix("liquidation-engine: ").strip()


class Refused(OperatorError):
    exit_code = 1


def test_an_operators_error_ends_with_its_own_code_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(SettingsError("bad: mend it"), capsys) == (2, "bad: mend it")
    assert outcome(Refused("no: ask again"), capsys) == (1, "no: ask again")


def test_several_tasks_errors_are_one_line_when_the_operator_can_mend_them(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [RpcUnreachable("gone: look")])])
    assert outcome(group, capsys) == (2, "gone: look")
    code, line = outcome(ExceptionGroup("tasks", [RpcUnreachable("gone: look"), ValueError("odd")]), capsys)
    assert code == 1
    assert line.startswith("Unexpected error (ExceptionGroup: ")


def test_hostile_text_and_credentials_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    error = OperatorError("node said \x1b[2Jhi\nthere at https://user:hunter2@node/KEY")
    assert outcome(error, capsys) == (2, "node said hi there at https://node/…")


def test_an_interrupt_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(KeyboardInterrupt(), capsys) == (130, "Interrupted")


def test_a_fault_of_ours_leaves_a_private_report_without_local_variables(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    def fault() -> None:
        password = "hunter2"
        raise RuntimeError(f"broke after {len(password)} at postgresql://u:{password}@h/d")

    with pytest.raises(SystemExit) as ended, failing_in_one_line():
        fault()
    line = capsys.readouterr().err
    assert ended.value.code == 1
    report = Path(line.rsplit(" ", 1)[1].strip())
    assert report.parent == home / "state" / "liquidation-engine"
    text = report.read_text()
    assert "in fault" in text
    assert "RuntimeError: broke after 7 at postgresql://h/…" in text
    assert "hunter2" not in line + text
    assert report.stat().st_mode & 0o077 == 0


def test_a_report_goes_elsewhere_when_the_state_home_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    _, line = outcome(RuntimeError("odd"), capsys)
    assert Path(line.rsplit(" ", 1)[1]).parent == tmp_path / "tmp"


def test_a_reader_that_goes_away_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "engine", "--help"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("full", "arguments", "status"), [("stdout", "--version", 1), ("stderr", "status", 2)]
)
def test_a_stream_that_takes_nothing_does_not_change_how_a_command_ends(
    full: str, arguments: str, status: int, home: Path
) -> None:
    """Python keeps what it could not write, and ends with status 120, unless it is told not to keep it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with Path("/dev/full").open("w") as takes_nothing:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "engine", *arguments.split()],
            env=environment,
            timeout=60,
            check=False,
            **{**streams, full: takes_nothing},
        )
    assert answer.returncode == status


# A command beside a thread that never ends: one of Python's own that waits for a disk looks the same.
BESIDE_A_THREAD = """
import threading, sys
from engine.cli import leaving
from engine.cli.main import main
leaving.LEAVE_S = 0.5
sys.argv[1:] = ["--version"]
threading.Thread(target=threading.Event().wait, name="stuck").start()
main()
"""

# An engine of which a thread is asked for something that never comes, on the loop that it ran on.
ASKED_A_THREAD = """
import asyncio, threading
from engine.cli import headless, leaving
leaving.LEAVE_S = 0.5
leaving.own_process()
async def work():
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
headless._run(sys.argv[1], work())
"""


@pytest.mark.parametrize(
    ("program", "arguments"),
    [(BESIDE_A_THREAD, ()), (ASKED_A_THREAD, ("asyncio",)), (ASKED_A_THREAD, ("uvloop",))],
)
def test_a_thread_that_never_ends_does_not_keep_the_program(program: str, arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import sys\n" + program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Timeout (")
    assert "in wait" in ended.stderr
