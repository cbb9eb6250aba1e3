"""A console and the peer that it is attached to, on a real socket in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from consoles import Console
from peer import Peer

from engine.paths import ProfilePaths


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[ProfilePaths]:
    """A profile that nobody else uses."""
    made = ProfilePaths("test", tmp_path / "state", tmp_path / "run")
    made.prepare()
    return made


@pytest.fixture
async def peer(paths: ProfilePaths) -> AsyncIterator[Peer]:
    """An engine's side of the wire, running."""
    async with Peer(paths.socket) as running:
        yield running


@pytest.fixture
async def console(paths: ProfilePaths, peer: Peer) -> AsyncIterator[Console]:
    """A console of 120×40 that has shown the peer's first snapshot."""
    async with Console.attached(paths) as opened:
        yield opened


@pytest.fixture
def served(paths: ProfilePaths) -> Iterator[ProfilePaths]:
    """A profile whose engine is the test peer, in a process of its own."""
    peer = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "peer.py"), str(paths.socket)], stdout=subprocess.PIPE
    )
    assert peer.stdout is not None
    assert peer.stdout.readline() == b"ready\n"
    yield paths
    peer.kill()
    peer.wait()
    peer.stdout.close()
