"""The stream of snapshots on a real socket: differences, a viewer's own pace, older and hostile peers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import aiohttp
import msgspec
import pytest
import snapshots
from aiohttp import WSMsgType, web
from consoles import Console
from peer import Peer
from terminals import TerminalConsole

from engine.actor import Actor
from engine.api import stream as stream_module
from engine.api import wire
from engine.api.client import EngineClient
from engine.api.frames import DELTA, Frame, Step, Whole, Wish
from engine.api.routes import Call
from engine.api.stream import Streams
from engine.api.stream_reader import Pace
from engine.errors import EngineNotRunning
from engine.paths import ProfilePaths
from tui.terminal_pace import CALM_LOOKS, TerminalPace

DEADLINE_S = 30.0


class Market:
    """An engine's snapshots, each one price further; counts how often it was looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.snapshot = snapshots.snapshot()
        self.taken: dict[int, wire.Snapshot] = {}

    async def take(self) -> wire.Snapshot:
        self.looks += 1
        rows = list(self.snapshot.at_risk)
        rows[self.looks % len(rows)] = snapshots.position(self.looks % len(rows), 1_000 + self.looks)
        self.snapshot = msgspec.structs.replace(self.snapshot, seq=self.snapshot.seq + 1, at_risk=rows)
        self.taken[self.snapshot.seq] = self.snapshot
        return self.snapshot


class Serving:
    """The engine's streams of a market behind an HTTP server, and what comes and goes there."""

    def __init__(self) -> None:
        self.market = Market()
        self.streams = Streams(self.market.take)
        self.intervals: list[int] = []
        self.empty = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        interval_ms = int(request.query["interval_ms"])
        self.intervals.append(interval_ms)
        query = MappingProxyType({"interval_ms": interval_ms})
        try:
            return await self.streams.route().run(Call(Actor("test"), {}, query, None, request))
        finally:
            if not len(self.streams):
                self.empty.set()


@pytest.fixture
async def serving(paths: ProfilePaths) -> AsyncIterator[Serving]:
    """Streams on the profile's socket."""
    serving = Serving()
    app = web.Application()
    app.router.add_get("/stream", serving.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(paths.socket)).start()
    yield serving
    await serving.streams.close()
    await runner.cleanup()


class Viewer:
    """A bare WebSocket on the stream."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def text(self) -> str:
        async with asyncio.timeout(DEADLINE_S):
            message = await self.socket.receive()
        assert message.type is WSMsgType.TEXT, message
        return str(message.data)

    async def frame(self) -> Any:
        return msgspec.json.decode(await self.text(), type=Frame)

    async def wish(self, wish: Wish) -> None:
        await self.socket.send_str(msgspec.json.encode(wish).decode())

    async def closed(self) -> int | None:
        """The code with which the engine closes."""
        async with asyncio.timeout(DEADLINE_S):
            async for _ in self.socket:
                continue
        return self.socket.close_code


@pytest.fixture
async def viewer(serving: Serving, paths: ProfilePaths) -> AsyncIterator[Viewer]:
    """One that takes differences, at the fastest pace."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(paths.socket))) as session,
        session.ws_connect("http://engine/stream?interval_ms=100", protocols=(DELTA,)) as socket,
    ):
        yield Viewer(socket)


async def test_after_the_first_snapshot_only_what_changed_is_sent(viewer: Viewer) -> None:
    first = await viewer.text()
    assert isinstance(msgspec.json.decode(first, type=Frame), Whole)
    step = await viewer.text()
    assert isinstance(msgspec.json.decode(step, type=Frame), Step)
    assert len(step) < len(first) / 20


async def test_a_viewer_that_lost_its_place_gets_everything_once_more(viewer: Viewer) -> None:
    assert isinstance(await viewer.frame(), Whole)
    assert isinstance(await viewer.frame(), Step)
    await viewer.wish(Wish(whole=True))
    while isinstance(frame := await viewer.frame(), Step):
        continue
    assert isinstance(frame, Whole)
    assert (await viewer.frame()).since == frame.snapshot.seq


async def test_everything_is_sent_anew_from_time_to_time(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await viewer.frame(), Whole)
    assert isinstance(await viewer.frame(), Step)
    monkeypatch.setattr(stream_module, "WHOLE_EVERY_S", 0.0)
    while isinstance(frame := await viewer.frame(), Step):
        continue
    assert isinstance(frame, Whole)


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        '{"interval_ms": 5}',
        '{"whole": "yes"}',
        "x" * 900,
        "null",
        '"',
        '{"x":' + "[" * 1_000,
        b"\x00",
    ],
)
async def test_a_viewer_that_says_no_wish_is_sent_away(
    viewer: Viewer, serving: Serving, said: str | bytes
) -> None:
    await viewer.frame()
    if isinstance(said, bytes):
        await viewer.socket.send_bytes(said)
    else:
        await viewer.socket.send_str(said)
    assert await viewer.closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
    async with asyncio.timeout(DEADLINE_S):
        await serving.empty.wait()


async def test_a_wish_of_a_megabyte_is_not_read(viewer: Viewer) -> None:
    await viewer.frame()
    with contextlib.suppress(ConnectionError):
        await viewer.socket.send_str("x" * 2**20)
    # The code is lost where the engine is gone before the rest was written.
    assert await viewer.closed() in (
        aiohttp.WSCloseCode.MESSAGE_TOO_BIG,
        aiohttp.WSCloseCode.ABNORMAL_CLOSURE,
    )


async def test_the_client_puts_the_snapshots_together(serving: Serving, paths: ProfilePaths) -> None:
    read: list[wire.Snapshot] = []
    async with EngineClient(paths.socket) as client, contextlib.aclosing(client.stream(100)) as arriving:
        async for snapshot in arriving:
            read.append(snapshot)
            if len(read) == 4:
                break
    assert [each.seq for each in read] == sorted({each.seq for each in read})
    assert read == [serving.market.taken[each.seq] for each in read]
    assert read[-1].events is read[0].events


async def after_another_pace(paths: ProfilePaths) -> list[wire.Snapshot]:
    """What comes soon to a client that began with one snapshot a minute and then wanted ten a second."""
    pace = Pace(60_000)
    async with EngineClient(paths.socket) as client, contextlib.aclosing(client.stream(pace)) as arriving:
        await anext(arriving)
        pace.ask(100)
        async with asyncio.timeout(DEADLINE_S):
            return [await anext(arriving) for _ in range(3)]


async def test_another_pace_is_taken_on_the_same_connection(serving: Serving, paths: ProfilePaths) -> None:
    assert len(await after_another_pace(paths)) == 3
    assert serving.intervals == [60_000]


async def test_an_older_engine_is_asked_anew_for_another_pace(peer: Peer, paths: ProfilePaths) -> None:
    assert [each.at_risk for each in await after_another_pace(paths)] == [peer.snapshot.at_risk] * 3


async def test_an_older_viewer_gets_whole_snapshots_and_may_say_anything(
    serving: Serving, paths: ProfilePaths
) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(paths.socket))) as session,
        session.ws_connect("http://engine/stream?interval_ms=100") as socket,
    ):
        viewer = Viewer(socket)
        await socket.send_str("anything")
        for _ in range(3):
            seen = msgspec.json.decode(await viewer.text(), type=wire.Snapshot)
            assert seen.at_risk


async def test_an_engine_whose_steps_do_not_fit_is_asked_for_everything(paths: ProfilePaths) -> None:
    wishes: list[Wish] = []

    async def confused(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(DELTA,))
        await socket.prepare(request)
        now = snapshots.snapshot(seq=7)
        for frame in (Whole(snapshot=now), Step(since=3, changes={})):
            await socket.send_str(msgspec.json.encode(frame).decode())
        wishes.append(msgspec.json.decode((await socket.receive()).data, type=Wish))
        again = Whole(snapshot=msgspec.structs.replace(now, seq=9))
        await socket.send_str(msgspec.json.encode(again).decode())
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/stream", confused)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(paths.socket)).start()
    async with EngineClient(paths.socket) as client:
        assert [each.seq async for each in client.stream(100)] == [7, 9]
    assert wishes == [Wish(whole=True)]
    await runner.cleanup()


async def test_viewers_of_the_same_moment_share_one_look(
    serving: Serving, paths: ProfilePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "SHARED_FOR_S", 3_600.0)

    async def first() -> int:
        async with EngineClient(paths.socket) as client, contextlib.aclosing(client.stream(100)) as arriving:
            return (await anext(arriving)).seq

    assert len(set(await asyncio.gather(*(first() for _ in range(8))))) == 1
    assert serving.market.looks == 1


async def test_nobody_there_is_said_as_before(paths: ProfilePaths) -> None:
    async with EngineClient(paths.socket) as client:
        with pytest.raises(EngineNotRunning):
            await anext(client.stream(100))


class Storm(Market):
    """A market in which every figure is another one at every look: a terminal has to read much of it."""

    async def take(self) -> wire.Snapshot:
        self.looks += 1
        rows = [snapshots.position(number + self.looks, 900 + 7 * number) for number in range(24)]
        return msgspec.structs.replace(self.snapshot, seq=self.snapshot.seq + self.looks, at_risk=rows)


async def test_a_terminal_that_does_not_read_is_painted_less_often_until_it_reads_again(
    serving: Serving, paths: ProfilePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished: asyncio.Queue[int | None] = asyncio.Queue()
    take = stream_module.Viewer._take

    def noted(viewer: stream_module.Viewer, wish: Wish) -> None:
        wished.put_nowait(wish.interval_ms)
        take(viewer, wish)

    monkeypatch.setattr(stream_module.Viewer, "_take", noted)
    serving.streams = Streams(Storm().take)
    with TerminalConsole(paths.state, paths.runtime) as console:
        await asyncio.to_thread(console.shows, "● RUNNING")
        async with asyncio.timeout(DEADLINE_S):
            while (await wished.get() or 0) < 800:
                continue
        unread = asyncio.create_task(asyncio.to_thread(console.shows, "the terminal reads slowly"))
        async with asyncio.timeout(DEADLINE_S):
            while await wished.get() != 200:
                continue
        await unread
        assert console.process.poll() is None


@pytest.mark.parametrize(
    ("ready", "interval_ms"),
    [
        ([True] * 9, 500),
        ([False], 1_000),
        ([False] * 3, 4_000),
        ([False] * 40, 10_000),
        ([False] * 3 + [True] * CALM_LOOKS, 1_000),
        ([False] * 3 + [True, False] * 2, 10_000),
        ([False] * 3 + [True] * 2 * CALM_LOOKS, 500),
    ],
)
def test_the_interval_doubles_while_the_terminal_is_full_and_shrinks_in_calm(
    ready: list[bool], interval_ms: int
) -> None:
    looks = iter(ready)
    tempo = TerminalPace(lambda: next(looks))
    assert [tempo.look(500) for _ in ready] == ready
    assert tempo.interval_ms(500) == interval_ms


async def test_a_console_shows_what_arrives_in_steps_and_changes_its_pace(
    serving: Serving, paths: ProfilePaths
) -> None:
    async with Console.attached(paths) as console:
        seen = console.app.state.snapshot
        assert seen is not None
        await console.press("plus")
        await console.until(lambda: (console.app.state.snapshot or seen).seq >= seen.seq + 4)
        assert serving.intervals == [500]
