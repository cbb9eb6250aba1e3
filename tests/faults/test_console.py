"""The console dies in every way while liquidations run: the engine, even one of its own, misses nothing."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from arena import Arena
from terminals import ROOT, TerminalConsole
from waiting import until
from witness import nothing_is_missing_or_twice

SHOWN = "● RUNNING"


def _kill(terminal: TerminalConsole) -> None:
    terminal.signal(signal.SIGKILL)


def _hang_up(terminal: TerminalConsole) -> None:
    terminal.hang_up()


def _freeze_and_kill(terminal: TerminalConsole) -> None:
    terminal.signal(signal.SIGSTOP)
    terminal.signal(signal.SIGKILL)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", [_kill, _hang_up, _freeze_and_kill])
async def test_consoles_that_die_leave_the_engine_as_it_was(
    end: Callable[[TerminalConsole], None], arena: Arena
) -> None:
    engine = await arena.begin()
    for _ in range(3):
        with TerminalConsole(arena.paths.state, arena.paths.runtime) as first:
            await asyncio.to_thread(first.shows, SHOWN)
            await arena.until("transactions are out", lambda seen: seen.in_flight > 0)
            end(first)
            await asyncio.to_thread(first.process.wait, 20)
        await arena.liquidates(2)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_console_that_nobody_reads_and_that_is_frozen_for_long_does_not_hold_the_engine_up(
    arena: Arena,
) -> None:
    engine = await arena.begin()
    with TerminalConsole(arena.paths.state, arena.paths.runtime) as console:
        await asyncio.to_thread(console.shows, SHOWN)
        console.signal(signal.SIGSTOP)
        await arena.outlive_blockhashes()
        await arena.liquidates(20)
    assert engine.is_alive
    await arena.comes_to_rest()
    await nothing_is_missing_or_twice(arena)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
async def test_an_engine_outlives_the_console_that_started_it(how: signal.Signals, arena: Arena) -> None:
    await arena.start_sandbox()
    master, slave = pty.openpty()
    console = _open_console(arena, slave)
    reading = asyncio.get_running_loop()
    reading.add_reader(master, os.read, master, 65_536)  # a terminal that somebody looks at
    pid = 0
    try:

        async def is_ready() -> int:
            seen = await arena.snapshot()
            return seen.engine.pid if seen is not None and seen.engine.phase == "ready" else 0

        pid = await until("the console's engine is ready", is_ready, 90)
        await arena.let_prices_go()
        await _liquidates(arena, pid)
        console.send_signal(how)
        await asyncio.to_thread(console.wait, 20)
        await _liquidates(arena, pid)
        await arena.comes_to_rest()
        await nothing_is_missing_or_twice(arena, at_least=5)
    finally:
        reading.remove_reader(master)
        console.kill()
        console.wait()
        if pid:
            os.kill(pid, signal.SIGKILL)
        os.close(master)
        os.close(slave)


def _open_console(arena: Arena, terminal: int) -> subprocess.Popen[bytes]:
    """As an operator would: it finds no engine, and starts one."""
    return subprocess.Popen(
        [sys.executable, "-m", "engine"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        env={**arena.settings, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        start_new_session=True,
    )


async def _liquidates(arena: Arena, pid: int) -> None:
    seen = await arena.liquidates(5)
    assert seen.engine.pid == pid
