"""The console says when its engine is gone, comes back by itself, and starts an engine that ended unasked."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer

from engine.errors import OperatorError
from engine.paths import ProfilePaths
from tui import feed
from tui.messages import LaunchFailed, LaunchProgress
from tui.supervisor import Report, Supervisor

PEER = Path(__file__).parent / "peer.py"


class ProcessHost:
    """Brings up the test peer as a process of its own."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    async def bring_up(self, report: Report) -> None:
        report("starting the engine…")
        self.starts += 1
        self.process = await asyncio.get_running_loop().run_in_executor(None, self._start)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(PEER), str(self.socket)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def ended_on_purpose(self) -> bool:
        return self.process is not None and self.process.wait(5) == 0

    async def take_down_surroundings(self) -> None:
        self.end()

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(10)
        with contextlib.suppress(OSError):
            self.process.stdout.close()  # type: ignore[union-attr]


async def test_a_lost_engine_shows_its_age_and_the_stop_state_and_comes_back_by_itself(
    paths: ProfilePaths,
) -> None:
    async with Peer(paths.socket) as peer:
        opened = Console.attached(paths)
        console = await opened.__aenter__()
        await peer.push(msgspec.structs.replace(peer.snapshot, gate=snapshots.gate("stopped", 3)))
        await console.says("■ STOPPED")
    try:
        await console.says("✕ DISCONNECTED")
        assert "the stop state holds: STOPPED" in console.screen_text()
        assert "exceeded CUs" in console.screen_text()
        await console.says("DISCONNECTED 1.")
        async with Peer(paths.socket):
            await console.says("● RUNNING")
    finally:
        await opened.__aexit__(None, None, None)


async def test_an_engine_that_says_nothing_is_called_silent(
    paths: ProfilePaths, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "BEAT_S", 0.05)
    monkeypatch.setattr(feed, "SILENCE_S", 0.3)
    async with Console.attached(paths) as console:
        peer.talking.clear()
        await console.says("✕ SILENT")
        peer.talking.set()
        await console.says("● RUNNING")


async def test_an_engine_of_another_version_is_named_as_such(console: Console, peer: Peer) -> None:
    await peer.push(msgspec.structs.replace(peer.snapshot, protocol=99))
    await console.says("speaks version 99")


async def test_an_engine_that_died_is_started_again_and_the_console_attaches(paths: ProfilePaths) -> None:
    host = ProcessHost(paths.socket)
    async with Console.opened(paths, host=host) as console:
        await console.says("● RUNNING")
        host.end()
        await console.says("✕ DISCONNECTED")
        await console.says("the stop state holds")
        await console.until(lambda: host.starts == 2)
        await console.says("● RUNNING")
        host.end()


async def test_an_engine_that_ended_cleanly_is_left_ended_until_it_is_wanted(paths: ProfilePaths) -> None:
    host = ProcessHost(paths.socket)
    async with Console.opened(paths, host=host) as console:
        await console.says("● RUNNING")
        host.end(signal.SIGTERM)
        await console.says("the engine was shut down")
        assert host.starts == 1
        console.app.action_start_engine()
        await console.says("● RUNNING")
        assert host.starts == 2
        host.end()


class BrokenHost:
    """An engine that never comes up, or that always dies at once."""

    def __init__(self, *, fails_from: int) -> None:
        self.starts = 0
        self._fails_from = fails_from

    async def bring_up(self, report: Report) -> None:
        self.starts += 1
        report("starting the engine…")
        if self.starts >= self._fails_from:
            raise OperatorError("Address already in use: set SERVER_PORT")

    def ended_on_purpose(self) -> bool:
        return False

    async def take_down_surroundings(self) -> None:
        return None


async def test_a_start_that_fails_shows_the_engines_line_and_lets_the_operator_quit(
    paths: ProfilePaths,
) -> None:
    host = BrokenHost(fails_from=1)
    async with Console.opened(paths, host=host) as console:
        await console.says("✕ NOT RUNNING  Address already in use: set SERVER_PORT")
        assert host.starts == 1
        await console.press("q")
        await console.says("only this console ends")
        await console.press("enter")
        await console.until(lambda: console.app.return_value == "leave")


async def eventually(holds: Callable[[], bool]) -> None:
    """Let the other tasks run until `holds` does."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for is a plain list
            await asyncio.sleep(0)


async def test_an_engine_that_keeps_dying_is_given_up_after_five_starts_in_a_row() -> None:
    posted: list[object] = []
    host = BrokenHost(fails_from=2)
    supervisor = Supervisor(host, posted.append, backoff_s=(0.0,) * 5)
    running = asyncio.create_task(supervisor.run())
    supervisor.heard(draining=False)
    supervisor.lost()
    await eventually(lambda: any(isinstance(message, LaunchFailed) for message in posted))
    running.cancel()
    assert host.starts == 5
    failed = [message for message in posted if isinstance(message, LaunchFailed)]
    assert "5 in a row" in failed[0].reason
    assert "Address already in use" in failed[0].reason
    steps = [message.activity for message in posted if isinstance(message, LaunchProgress)]
    assert "start 5 of 5: starting the engine…" in steps


async def test_a_death_that_is_noticed_again_and_again_starts_one_engine() -> None:
    posted: list[object] = []
    host = BrokenHost(fails_from=99)
    supervisor = Supervisor(host, posted.append, backoff_s=(0.0,) * 5)
    running = asyncio.create_task(supervisor.run())
    supervisor.heard(draining=False)
    supervisor.lost()
    await eventually(lambda: host.starts == 2 and len(posted) == 4)
    supervisor.lost()
    supervisor.lost()
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    assert host.starts == 2
