"""`drill stop` says what it measured, and ends with 1 when a single press did not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.drill import course, stop
from engine.drill.stop import Press

SOON = Press(silence_ms=4.2, shut_ms=1.0, answered_ms=9.0, later=0, acknowledgement="Stopped: 12 in flight")


def scripted(monkeypatch: pytest.MonkeyPatch, measured: list[Press]) -> None:
    """Let the drill's presses be these, half of them in the dark."""

    @asynccontextmanager
    async def nothing() -> AsyncIterator[None]:
        yield

    async def presses(*_: Any, in_the_dark: bool) -> AsyncIterator[Press]:
        half = len(measured) // 2
        for press in measured[half:] if in_the_dark else measured[:half]:
            yield press

    monkeypatch.setattr(course, "drill_course", nothing)
    monkeypatch.setattr(stop, "presses", presses)


def test_a_drill_that_holds_names_its_worst_figure_and_ends_with_0(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slower = Press(
        silence_ms=61.5, shut_ms=1.0, answered_ms=70.0, later=0, acknowledgement="Stopped: 1 in flight"
    )
    scripted(monkeypatch, [SOON, slower])
    answer = command("drill", "stop", "--presses", "1")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert "ok: last byte at the node 4.2 ms after the press" in lines[1]
    assert "black-holed. Stopped: 1 in flight" in lines[2]
    assert lines[-1] == (
        "PASS: press to silence at most 61.5 ms in 2 presses (goal 100 ms), 0 writes arrived later"
    )


@pytest.mark.parametrize(
    "bad",
    [
        Press(
            silence_ms=100.1, shut_ms=1.0, answered_ms=2.0, later=0, acknowledgement="Stopped: 0 in flight"
        ),
        Press(silence_ms=10.0, shut_ms=1.0, answered_ms=2.0, later=1, acknowledgement="Stopped: 0 in flight"),
    ],
    ids=["too late", "not silent"],
)
def test_one_press_that_does_not_hold_fails_the_drill(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, bad: Press
) -> None:
    scripted(monkeypatch, [SOON, SOON, bad, SOON])
    answer = command("drill", "stop")
    assert answer.code == 1
    assert "FAIL: press to silence" in answer.out
    assert "do not trust this engine with money" in answer.line


@pytest.mark.parametrize("presses", ["0", "-1", "1001", "many"])
def test_a_number_of_presses_that_makes_no_sense_is_refused(
    command: Callable[..., Any], presses: str
) -> None:
    assert command("drill", "stop", "--presses", presses).code == 2


@pytest.mark.long
def test_the_drill_on_real_processes_measures_an_engine_that_sends(process: Callable[..., Any]) -> None:
    answer = process("drill", "stop", "--presses", "2", timeout_s=170)
    figures = re.findall(r"last byte at the node ([\d.]+) ms", answer.out)
    assert len(figures) == 4, answer.err
    assert answer.out.count("none can land after block") == 4
    assert answer.code == 0, answer.out


@pytest.mark.long
def test_a_drill_that_is_terminated_leaves_no_engine_behind(running: Callable[[], list[str]]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "engine", "drill", "stop", "--presses", "1000"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as drill:
        assert drill.stdout is not None
        begun, first = drill.stdout.readline(), drill.stdout.readline()
        assert any("--no-ui" in line for line in running()), begun + first
        drill.terminate()
        drill.communicate(timeout=60)
    assert drill.returncode == 130
    assert running() == []
