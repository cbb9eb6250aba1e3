"""What stands between a console and its engine is told in one line with what to do about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from consoles import Console
from peer import Peer
from terminals import ROOT

from engine.api import client
from engine.api.client import EngineClient
from engine.errors import EngineNotRunning
from engine.paths import ProfilePaths, profile_paths

NOBODY = 65_534


@contextmanager
def a_stranger(paths: ProfilePaths) -> Iterator[None]:
    """This process may not use the profile's socket."""
    paths.socket.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


async def asked(paths: ProfilePaths) -> str:
    with pytest.raises(EngineNotRunning) as refused:
        async with EngineClient(paths.socket) as engine:
            await engine.snapshot()
    return str(refused.value)


async def test_somebody_elses_engine_is_named_as_such(paths: ProfilePaths, peer: Peer) -> None:
    with a_stranger(paths):
        told = await asked(paths)
    assert "another user's engine: run this as the user that runs it" in told


async def test_a_file_in_the_place_of_the_socket_is_named_as_such(paths: ProfilePaths) -> None:
    paths.socket.write_text("not a socket")
    assert "is no socket: move it away" in await asked(paths)
    async with Console.opened(paths) as console:
        await console.says("move it away, or name another --profile")


async def test_nobody_on_the_socket_says_how_to_start_one(paths: ProfilePaths) -> None:
    assert "start one with `liquidation-engine`" in await asked(paths)


async def test_an_engine_that_takes_the_call_and_hangs_is_said_to_hang(
    paths: ProfilePaths, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "COMMAND_DEADLINE_S", 0.3)
    peer.answering.clear()
    with pytest.raises(EngineNotRunning, match="did not answer within"):
        async with EngineClient(paths.socket) as engine:
            await engine.clear_queue()


async def test_two_consoles_on_one_engine_show_the_same_and_both_hear_of_a_stop(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths) as one, Console.attached(paths) as other:
        await one.press("ctrl+e")
        await one.says("■ STOPPED")
        await other.says("■ STOPPED")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a socket has room for little."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Path(folder)


def test_status_watches_through_an_engines_end_and_leaves_on_an_interrupt(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(short_folder))
    paths = profile_paths("watched")
    paths.prepare()
    script = Path(__file__).parent / "peer.py"
    with subprocess.Popen([sys.executable, str(script), str(paths.socket)], stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == b"ready\n"
        watch = [
            sys.executable,
            "-m",
            "engine",
            "--profile",
            "watched",
            "status",
            "--watch",
            "--every",
            "0.2",
        ]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True, cwd=ROOT) as watching:
            assert watching.stdout is not None
            told = (line for line in watching.stdout)
            for _ in range(2):
                assert next(line for line in told if "running" in line.lower())
            peer.kill()
            assert next(line for line in told if line.startswith("DISCONNECTED"))
            watching.send_signal(signal.SIGINT)
            assert watching.wait(30) == 130
