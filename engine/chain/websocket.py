"""One WebSocket to a node: what one read of the socket brought is handed over at once, without a copy.

A general client hands over each frame by itself, through a queue and two more turns of the event loop. A feed
of a hundred thousand frames a second has no time for that, and a price that sits in a queue is late.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Final, cast
from urllib.parse import unquote, urlsplit

READ_BYTES: Final = 512 * 1024  # about a thousand notifications: few enough for one turn of the loop
LONGEST_HEAD: Final = 16 * 1024
UNSENT_BYTES: Final = 64 * 1024  # a node that pings and does not read is given up
CLOSE_S: Final = 1.0

_ACCEPT_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_LONGEST_CONTROL: Final = 125
_TWO_BYTES, _EIGHT_BYTES = 126, 127

Frame = memoryview | bytes
OnFrames = Callable[[Sequence[Frame]], None]


class WebSocketFailure(Exception):
    """The connection is of no use any more; the message says why."""


class WebSocket(asyncio.BufferedProtocol):
    """A connection that is made by `open_websocket`.

    `on_frames` gets the messages of each read of the socket, in order. They are valid until it returns. What
    it raises ends the connection. `ended` is done, with the failure, when the connection is.
    """

    def __init__(self, on_frames: OnFrames, longest_message_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._on_frames = on_frames
        self._longest = longest_message_bytes
        self._key = base64.b64encode(os.urandom(16))
        self._memory = bytearray(READ_BYTES)
        self._view = memoryview(self._memory)
        self._filled = 0
        self._needed = 0  # bytes of a frame of which only the first ones are here
        self._parts: bytearray | None = None  # of a message that comes in several frames
        self._transport: asyncio.Transport | None = None

    def greet(self, url: str) -> None:
        """Ask for the upgrade; `opened` is done when the node has agreed."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {self._key.decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            lines.append(f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        self._write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def send(self, text: str) -> None:
        """Send one message; nothing when the connection has ended."""
        self._send(_TEXT, text.encode())

    def fail(self, error: Exception) -> None:
        """End the connection for this reason; the first one counts."""
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody has to ask for it
        self.close()

    def close(self) -> None:
        """Say goodbye and hang up."""
        if self._transport is None or self._transport.is_closing():
            return
        with suppress(WebSocketFailure):
            self._send(_CLOSE, b"")
        self._transport.close()
        # A node that does not read must not keep the connection for ever.
        asyncio.get_running_loop().call_later(CLOSE_S, self._transport.abort)

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there; nothing was said yet."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        how = "ended the connection" if error is None else f"broke the connection ({type(error).__name__})"
        self.fail(WebSocketFailure(f"the node {how}"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: behind those that wait for the rest of their frame."""
        del sizehint
        size = max(READ_BYTES, self._needed)
        if size != len(self._memory):
            memory = bytearray(size)
            memory[: self._filled] = self._view[: self._filled]
            self._memory, self._view = memory, memoryview(memory)
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        self._filled += nbytes
        if self.ended.done():
            self._filled = 0
            return
        try:
            taken = self._take_answer() if not self.opened.done() else self._take_frames(0)
        except Exception as error:
            # Whatever broke it, a fault of ours included, the connection is not to be relied on.
            self.fail(error)
            self._filled = 0
            return
        rest = self._filled - taken
        self._memory[:rest] = self._memory[taken : self._filled]
        self._filled = rest

    # --- inside ---

    def _take_answer(self) -> int:
        """The node's answer to the greeting, and what came behind it; returns how many bytes are done."""
        end = self._memory.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            if self._filled > LONGEST_HEAD:
                raise WebSocketFailure("the node's answer to the upgrade does not end")
            return 0
        status, *headers = bytes(self._view[:end]).split(b"\r\n")
        if status.split(b" ", 2)[1:2] != [b"101"]:
            raise WebSocketFailure(f"the node refused the upgrade: {_readable(status)}")
        told = {
            name.strip().lower(): value.strip()
            for name, _, value in (each.partition(b":") for each in headers)
        }
        digest = hashlib.sha1(self._key + _ACCEPT_SUFFIX, usedforsecurity=False).digest()
        if told.get(b"sec-websocket-accept") != base64.b64encode(digest):
            raise WebSocketFailure("the node's answer to the upgrade is not for us")
        self.opened.set_result(None)
        return self._take_frames(end + 4)

    def _take_frames(self, at: int) -> int:
        """Hand over every message that is complete; returns how many bytes are done."""
        memory, view, filled = self._memory, self._view, self._filled
        messages: list[Frame] = []
        self._needed = 0
        failure: WebSocketFailure | None = None
        while filled - at >= 2:
            first, size = memory[at], memory[at + 1]
            start = at + 2
            if size & _MASKED:
                failure = WebSocketFailure("the node sent a masked frame")
                break
            if size >= _TWO_BYTES:
                start += 2 if size == _TWO_BYTES else 8
                if start > filled:
                    break
                size = int.from_bytes(memory[at + 2 : start], "big")
                if size > self._longest:
                    failure = WebSocketFailure(f"the node sent a frame of {size} bytes")
                    break
            end = start + size
            if end > filled:
                self._needed = end - at
                break
            at = end
            if first == _FIN | _TEXT and self._parts is None:
                messages.append(view[start:end])
                continue
            try:
                whole = self._take_other(first, view[start:end])
            except WebSocketFailure as error:
                failure = error
                break
            if whole is not None:
                messages.append(whole)
        if messages:
            self._on_frames(messages)
        if failure is not None:
            raise failure
        return at

    def _take_other(self, first: int, payload: memoryview) -> Frame | None:
        """A frame that is not a whole text message; returns the message that it completes."""
        code, is_last = first & 0xF, bool(first & _FIN)
        if first & _RESERVED:
            raise WebSocketFailure("the node sent a compressed frame, which was not agreed on")
        if code in (_CONTINUATION, _TEXT, _BINARY):
            return self._join(code, payload, is_last=is_last)
        if code not in (_CLOSE, _PING, _PONG) or not is_last or len(payload) > _LONGEST_CONTROL:
            raise WebSocketFailure(f"the node sent a frame that must not be, of kind {code}")
        if code == _CLOSE:
            raise WebSocketFailure("the node ended the connection")
        if code == _PING:
            self._send(_PONG, bytes(payload))
        return None

    def _join(self, code: int, payload: memoryview, *, is_last: bool) -> Frame | None:
        """A part of a message: the first has its kind, the others say that they go on."""
        if (code == _CONTINUATION) != (self._parts is not None):
            raise WebSocketFailure("the node mixed up the parts of a message")
        if self._parts is None and is_last:
            return payload
        parts = self._parts if self._parts is not None else bytearray()
        if len(parts) + len(payload) > self._longest:
            raise WebSocketFailure(f"the node sent a message of more than {self._longest} bytes")
        parts += payload
        self._parts = None if is_last else parts
        return bytes(parts) if is_last else None

    def _send(self, code: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        if size < _TWO_BYTES:
            head = bytes((_FIN | code, _MASKED | size))
        elif size < 1 << 16:
            head = bytes((_FIN | code, _MASKED | _TWO_BYTES)) + size.to_bytes(2, "big")
        else:
            head = bytes((_FIN | code, _MASKED | _EIGHT_BYTES)) + size.to_bytes(8, "big")
        self._write(head + mask + bytes(byte ^ key for byte, key in zip(payload, cycle(mask), strict=False)))

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > UNSENT_BYTES:
            raise WebSocketFailure("the node does not read")
        self._transport.write(data)


def server_frame(text: bytes) -> bytes:
    """A whole text message as a node sends it, for whoever plays one."""
    size = len(text)
    if size < _TWO_BYTES:
        head = bytes((_FIN | _TEXT, size))
    elif size < 1 << 16:
        head = bytes((_FIN | _TEXT, _TWO_BYTES)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FIN | _TEXT, _EIGHT_BYTES)) + size.to_bytes(8, "big")
    return head + text


async def open_websocket(url: str, on_frames: OnFrames, longest_message_bytes: int) -> WebSocket:
    """Connect and agree; the caller sets the deadline.

    Raises WebSocketFailure when the node is no WebSocket, OSError when it cannot be reached.
    """
    parts = urlsplit(url)
    is_secure = parts.scheme in ("wss", "https")
    _, socket = await asyncio.get_running_loop().create_connection(
        lambda: WebSocket(on_frames, longest_message_bytes),
        parts.hostname or "",
        parts.port or (443 if is_secure else 80),
        ssl=is_secure or None,
    )
    try:
        socket.greet(url)
        await socket.opened
    except BaseException:
        socket.close()
        raise
    return socket


def _readable(line: bytes) -> str:
    """The start of a line that a stranger wrote."""
    return ascii(line[:80].decode("latin-1"))[1:-1]
