"""One WebSocket against servers that write whatever bytes a test wants, in whatever pieces."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp import WSMsgType, web

from engine.chain.websocket import READ_BYTES, WebSocketFailure, open_websocket

WITHIN_S = 5.0
LONGEST = 1 << 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


# Both event loops: the hook that is to replace this fixture would choose them for the whole folder.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the:pytest.PytestDeprecationWarning")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request):
    return request.param()


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A server's frame; `first` has FIN and the kind."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Answer the upgrade as RFC 6455 wants it; returns the request."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line[19:] for line in request.split("\r\n") if line.startswith("Sec-WebSocket-Key: "))
    accept = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
    )
    return request


class Collected:
    """Copies of the messages, and a way to wait for so many."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._changed = asyncio.Event()

    def __call__(self, messages: Any) -> None:
        self.messages += [bytes(each) for each in messages]
        self._changed.set()

    async def of(self, count: int) -> list[bytes]:
        async with asyncio.timeout(WITHIN_S):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.messages


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """A server on a real socket; yields its URL."""
    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
    finally:
        running.close()


@asynccontextmanager
async def told(*pieces: bytes) -> AsyncIterator[tuple[Any, Collected]]:
    """A connection whose node writes these pieces one by one, and then nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    collected = Collected()
    async with server(serve) as url:
        socket = await open_websocket(url, collected, LONGEST)
        try:
            yield socket, collected
        finally:
            socket.close()


async def failure_of(socket: Any) -> str:
    with pytest.raises(WebSocketFailure) as caught:
        await asyncio.wait_for(socket.ended, WITHIN_S)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, READ_BYTES + 7, LONGEST])
async def test_a_message_of_any_size_arrives_whole(size):
    message = bytes(number % 251 for number in range(size))
    async with told(frame(message), frame(b"next")) as (_, collected):
        assert await collected.of(2) == [message, b"next"]


async def test_messages_arrive_whole_and_in_order_however_they_are_cut():
    messages = [bytes([number]) * (number * 7 % 300) for number in range(60)]
    whole = b"".join(map(frame, messages))
    async with told(*(whole[at : at + 1] for at in range(len(whole)))) as (_, collected):
        assert await collected.of(60) == messages


async def test_messages_behind_the_answer_to_the_upgrade_are_not_lost():
    async with told(frame(b"one") + frame(b"two")) as (_, collected):
        assert await collected.of(2) == [b"one", b"two"]


async def test_a_message_in_parts_is_joined_around_a_ping():
    pieces = frame(b"to", 0x01) + frame(b"?", 0x89) + frame(b"get", 0x00) + frame(b"her", 0x80)
    async with told(pieces, frame(b"\x00\x01", 0x82)) as (_, collected):
        assert await collected.of(2) == [b"together", b"\x00\x01"]


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (b"\x81\x85abcdhello", "masked"),
        (frame(b"x", 0xC1), "compressed"),
        (frame(b"x", 0x83), "must not be, of kind 3"),
        (frame(b"x", 0x09), "must not be, of kind 9"),
        (frame(b"x" * 126, 0x89), "must not be, of kind 9"),
        (frame(b"x", 0x80), "mixed up"),
        (frame(b"x", 0x01) + frame(b"y"), "mixed up"),
        (b"\x81\x7f" + (LONGEST + 1).to_bytes(8, "big"), f"frame of {LONGEST + 1} bytes"),
        (b"\x81\x7f" + b"\xff" * 8, "frame of 18446744073709551615 bytes"),
        (frame(b"x" * LONGEST, 0x01) + frame(b"y", 0x80), f"more than {LONGEST} bytes"),
        (frame(b"\x03\xe8bye", 0x88), "ended the connection"),
    ],
)
async def test_what_a_node_must_not_send_ends_the_connection_after_what_came_before(pieces, reason):
    async with told(frame(b"before") + pieces) as (socket, collected):
        assert reason in await failure_of(socket)
        assert collected.messages == [b"before"]


async def test_a_node_that_hangs_up_ends_the_connection():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        writer.close()

    async with server(serve) as url:
        socket = await open_websocket(url, Collected(), LONGEST)
        assert await failure_of(socket) == "the node ended the connection"


async def test_what_the_receiver_raises_ends_the_connection():
    def refuse(messages: Any) -> None:
        raise LookupError(len(messages))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        writer.write(frame(b"x"))
        await reader.read()

    async with server(serve) as url:
        socket = await open_websocket(url, refuse, LONGEST)
        with pytest.raises(LookupError):
            await asyncio.wait_for(socket.ended, WITHIN_S)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "refused the upgrade: HTTP/1.1 403 Forbidden"),
        (b"HTTP/1.1 200 \x1b[2Jok\r\n\r\n", r"refused the upgrade: HTTP/1.1 200 \x1b[2Jok"),
        (b"\r\n\r\n", "refused the upgrade"),
        (b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: AAAA\r\n\r\n", "not for us"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "not for us"),
        (b"x" * 20_000, "does not end"),
        (b"", "ended the connection"),
    ],
)
async def test_a_node_that_is_no_websocket_is_said_to_be_none(answer, reason):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer:
            await reader.read()
        writer.close()

    async with server(serve) as url:
        with pytest.raises(WebSocketFailure) as caught:
            await asyncio.wait_for(open_websocket(url, Collected(), LONGEST), WITHIN_S)
    assert reason in str(caught.value)


async def test_the_request_names_host_path_and_key_and_keeps_the_password_out_of_the_target():
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await agree(reader, writer))
        await reader.read()

    async with server(serve) as url:
        place = url.removeprefix("ws://").removesuffix("/")
        socket = await open_websocket(f"ws://me:p%40ss@{place}/v1?api-key=7", Collected(), LONGEST)
        socket.close()
    lines = requests[0].split("\r\n")
    assert lines[0] == "GET /v1?api-key=7 HTTP/1.1"
    assert f"Host: {place}" in lines
    assert f"Authorization: Basic {base64.b64encode(b'me:p@ss').decode()}" in lines
    assert "me:p" not in lines[0]


async def test_a_server_of_another_make_understands_what_is_sent_and_its_pings_are_answered():
    heard: list[str] = []
    ponged = asyncio.Event()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await socket.ping(b"there?")
        async for message in socket:
            if message.type is WSMsgType.PONG and message.data == b"there?":
                ponged.set()
            elif message.type is WSMsgType.TEXT:
                heard.append(message.data)
                await socket.send_str(f"heard {len(message.data)}")
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    texts = ["a", "ä" * 62, "b" * 126, "c" * 70_000]
    collected = Collected()
    try:
        socket = await open_websocket(f"ws://127.0.0.1:{runner.addresses[0][1]}/", collected, LONGEST)
        for text in texts:
            socket.send(text)
        assert await collected.of(4) == [f"heard {len(text)}".encode() for text in texts]
        await asyncio.wait_for(ponged.wait(), WITHIN_S)
        assert heard == texts
        socket.close()
    finally:
        await runner.cleanup()


async def test_a_node_that_pings_without_end_and_reads_nothing_is_given_up():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await agree(reader, writer)
        try:
            while True:
                writer.write(frame(b"x" * 125, 0x89) * 5_000)
                await writer.drain()
        except ConnectionError:
            return

    async with server(serve) as url:
        socket = await open_websocket(url, Collected(), LONGEST)
        assert await failure_of(socket) == "the node does not read"
