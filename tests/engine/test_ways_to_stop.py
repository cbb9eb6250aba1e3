"""Every way to stop, on a real engine that sends: with node, database and journal hung, and its loop busy.

The node of these tests counts what arrives; after the acknowledgement nothing does.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from engine.drill.course import Course, drill_course
from engine.drill.stop import GOAL_MS, LISTEN_S

# The terminal is the one of the console's own tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tui"))
from terminals import TerminalConsole

ACKNOWLEDGED = re.compile(r"Stopped: \d+ in flight, none can land after block \d+")
ON_SCREEN = re.compile(r"\d+ in flight, none can land after block [\d,]+")

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Hurdles:
    """A course, and the file that keeps the engine's loop busy while it is there."""

    def __init__(self, course: Course, busy: Path) -> None:
        self.course, self.busy = course, busy
        self.home = course.paths.state.parent

    def kept(self) -> dict[str, object]:
        """The stop state on disk."""
        (gate,) = self.home.glob(".books/*/gate.json")
        return json.loads(gate.read_bytes())

    def log(self) -> str:
        return (self.home.parents[1] / "engine.log").read_text()

    async def revive(self) -> None:
        """Node and database are back, and the engine sends again."""
        await self.course.light_up()
        await self.course.resume("the next way")

    @contextmanager
    def everything_dead(self, *, is_busy: bool) -> Iterator[None]:
        """The journal is locked, and the event loop does nothing else, until the block is left."""
        (journal,) = self.home.glob(".books/*/journal.db")
        with closing(sqlite3.connect(journal, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            try:
                if is_busy:
                    self.busy.touch()
                yield
            finally:
                self.busy.unlink(missing_ok=True)
                lock.execute("ROLLBACK")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hurdles(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hurdles]:
    busy = tmp_path_factory.mktemp("busy") / "busy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUSY_FILE", str(busy))
        async with drill_course((str(Path(__file__).with_name("busy_engine.py")),)) as course:
            yield Hurdles(course, busy)


async def found(look: Callable[[], str | None]) -> str:
    """What `look` finds; fails when that takes too long."""
    async with asyncio.timeout(20):
        while True:
            text = look()
            if text:
                return text
            await asyncio.sleep(0.002)


async def by_unix_socket(hurdles: Hurdles) -> str:
    return (await hurdles.course.client.stop("over the socket")).message


async def by_http(hurdles: Hurdles) -> str:
    environment, token = hurdles.course.environment, hurdles.course.paths.stop_token.read_text().strip()
    url = f"http://127.0.0.1:{environment['SERVER_PORT']}/admin/emergency-stop"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(url, data=b'{"reason": "over HTTP"}') as response,
    ):
        return (await response.json())["message"]


async def by_command(hurdles: Hurdles) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "stop", "--reason", "by command"),
        env=dict(hurdles.course.environment),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def by_signal(hurdles: Hurdles) -> str:
    before = len(hurdles.log())
    hurdles.course.process.send_signal(signal.SIGUSR1)

    def acknowledged() -> str | None:
        lines = hurdles.log()[before:].splitlines()
        return next((line for line in lines if "stopped by a signal" in line), None)

    return await found(acknowledged)


async def by_file(hurdles: Hurdles) -> str:
    paths = hurdles.course.paths
    paths.standing_stop.touch()
    return await found(
        lambda: paths.stop_acknowledged.read_text() if paths.stop_acknowledged.exists() else None
    )


WAYS: dict[str, tuple[Callable[[Hurdles], Awaitable[str]], str]] = {
    "the unix socket": (by_unix_socket, "over the socket"),
    "HTTP": (by_http, "over HTTP"),
    "the command line": (by_command, "by command"),
    "SIGUSR1": (by_signal, f"SIGUSR1 from process {os.getpid()}"),
    "a file": (by_file, "STOP exists"),
}


@pytest.mark.parametrize("is_busy", [False, True], ids=["dead", "dead and busy"])
@pytest.mark.parametrize("way", WAYS)
async def test_it_stops_when_all_else_is_dead_and_nothing_leaves_after_the_acknowledgement(
    hurdles: Hurdles, way: str, is_busy: bool
) -> None:
    stop, reason = WAYS[way]
    answer = await stop_among_the_dead(hurdles, stop, is_busy=is_busy)
    assert ACKNOWLEDGED.search(answer), answer
    assert str(hurdles.kept()["reason"]).endswith(reason)
    await hurdles.revive()


@pytest.mark.parametrize("is_busy", [False, True], ids=["dead", "dead and busy"])
async def test_the_consoles_key_does_the_same(hurdles: Hurdles, is_busy: bool) -> None:
    paths = hurdles.course.paths
    with TerminalConsole(paths.state, paths.runtime) as console:
        await asyncio.to_thread(console.shows, "● RUNNING")

        async def by_key(_: Hurdles) -> str:
            console.send(b"\x05")
            await asyncio.to_thread(console.shows, ON_SCREEN)
            return await asyncio.to_thread(console.shows, "■ STOPPED")

        await stop_among_the_dead(hurdles, by_key, is_busy=is_busy)
    assert hurdles.kept()["reason"] == "emergency stop from the console"
    await hurdles.revive()


async def stop_among_the_dead(
    hurdles: Hurdles, stop: Callable[[Hurdles], Awaitable[str]], *, is_busy: bool
) -> str:
    """The acknowledgement of a stop that came while the engine was sending and all it leans on was dead."""
    course = hurdles.course
    await course.until_it_sends()
    await course.black_out()
    with hurdles.everything_dead(is_busy=is_busy):
        pressed_ns = time.time_ns()
        answer = await stop(hurdles)
        # Its loop has not gone round since: other threads heard the stop and answered it.
        assert hurdles.busy.exists() is is_busy
        await found(lambda: "kept" if hurdles.kept()["state"] == "stopped" else None)
    answered_ns = max(time.time_ns(), pressed_ns + int(GOAL_MS * 1e6))
    await asyncio.sleep(GOAL_MS / 1000 + LISTEN_S)
    assert course.node.count_after(answered_ns) == 0
    return answer
