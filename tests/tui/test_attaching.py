"""What stands between a console and its engine is told in one line with what to do about it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
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


@pytest.fixture
def watched(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The socket of the profile that is watched, with nobody on it."""
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(short_folder))
    paths = profile_paths("watched")
    paths.prepare()
    return paths.socket


@contextmanager
def serving(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An engine's side of the wire in a process of its own."""
    script = Path(__file__).parent / "peer.py"
    with subprocess.Popen([sys.executable, str(script), str(socket)], stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == b"ready\n"
        try:
            yield peer
        finally:
            peer.kill()


@contextmanager
def watching(*flags: str) -> Iterator[tuple[subprocess.Popen[str], Iterator[str], Iterator[str]]]:
    """`status --watch` as a program sees it: the process, what it writes, and what it complains of."""
    command = [sys.executable, "-m", "engine", "--profile", "watched", "status", "--watch", "--every", "0.2"]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process, iter(process.stdout.readline, ""), iter(process.stderr.readline, "")
        finally:
            process.kill()


def test_status_watches_through_an_engines_end_and_leaves_on_an_interrupt(watched: Path) -> None:
    with serving(watched) as peer, watching() as (process, told, _):
        for _ in range(2):
            assert next(line for line in told if "running" in line.lower())
        peer.kill()
        assert next(line for line in told if line.startswith("DISCONNECTED"))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_status_watched_as_json_has_one_object_a_line_and_goes_on_when_an_engine_comes_back(
    watched: Path,
) -> None:
    with watching("--json") as (process, told, complaints):
        assert "No engine answers" in next(complaints)
        for _ in range(2):
            begun_ns = time.time_ns()
            with serving(watched):
                look = next(look for look in map(json.loads, told) if look["taken_at_ns"] > begun_ns)
            assert look["gate"]["state"] == "running"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert all(json.loads(line)["gate"]["state"] == "running" for line in told)


def test_status_whose_reader_has_gone_ends_without_a_word(watched: Path) -> None:
    with serving(watched), watching("--json") as (process, told, complaints):
        assert json.loads(next(told))
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 1
        assert list(complaints) == []
