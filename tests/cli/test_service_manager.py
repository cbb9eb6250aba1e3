"""What systemd hears on its own socket: that the engine lives while its loop does, and how it stands."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.service_manager import notify, notify_reloading, stay_in_touch, watchdog_period_s

SILENCE_S = 0.5


class Manager:
    """The datagram socket that systemd would hold."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)

    def told(self, deadline_s: float) -> str | None:
        """The next message; None when none comes in time."""
        self.socket.settimeout(deadline_s)
        try:
            return self.socket.recv(1000).decode()
        except TimeoutError:
            return None

    def forget(self) -> None:
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(1000)
        except BlockingIOError:
            pass


@pytest.fixture
def manager(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(short_path / "notify")
    made = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield made
    made.socket.close()


async def until(manager: Manager, wanted: str) -> list[str]:
    """What is told up to the message that is wanted."""
    heard: list[str] = []
    while wanted not in heard:
        told = await asyncio.to_thread(manager.told, 30.0)
        assert told is not None, heard
        heard.append(told)
    return heard


async def test_pings_come_while_the_loop_turns_end_while_it_hangs_and_come_again(manager):
    keeping = asyncio.create_task(stay_in_touch(lambda: "well"))
    for _ in range(3):
        await until(manager, "WATCHDOG=1")
    manager.forget()
    assert manager.told(SILENCE_S) is None, "this very wait keeps the loop from turning"
    await until(manager, "WATCHDOG=1")
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    manager.forget()
    assert await asyncio.to_thread(manager.told, SILENCE_S) is None


async def test_the_status_is_told_once_and_again_when_it_changes_on_one_line(manager):
    standing = ["starting"]
    keeping = asyncio.create_task(stay_in_touch(lambda: standing[0]))
    await until(manager, "STATUS=starting")
    await until(manager, "WATCHDOG=1")
    standing[0] = "ready,\nstopped"
    heard = await until(manager, "STATUS=ready, stopped")
    assert "STATUS=starting" not in heard
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_without_a_manager_or_a_watchdog_nothing_is_pinged(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_period_s() is None
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_period_s() == 0.05
    for text in ("", "0", "soon", "-5"):
        monkeypatch.setenv("WATCHDOG_USEC", text)
        assert watchdog_period_s() is None
    keeping = asyncio.create_task(stay_in_touch(lambda: "well"))
    assert await until(manager, "STATUS=well") == ["STATUS=well"]
    keeping.cancel()
    monkeypatch.delenv("NOTIFY_SOCKET")
    await asyncio.wait_for(stay_in_touch(lambda: "well"), 30)


def test_a_socket_without_a_file_is_reached_too_and_a_reload_says_when_it_began(monkeypatch):
    name = f"liquidation-engine-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    notify_reloading()
    told = manager.told(30)
    assert told is not None
    assert told.startswith("RELOADING=1\nMONOTONIC_USEC=")
    manager.socket.close()
    notify("READY=1")  # nobody is there any more, which is no fault


async def test_with_every_file_open_nothing_is_told_and_nothing_ends(manager):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        keeping = asyncio.create_task(stay_in_touch(lambda: "well"))
        await asyncio.sleep(0)
        notify("READY=1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await until(manager, "WATCHDOG=1") == ["WATCHDOG=1"], "it goes on once there is room"
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
