"""Reads the stream of snapshots for a viewer: puts differences together, asks anew when it lost its place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import aiohttp
import msgspec

from engine.api import wire
from engine.api.delta import NotApplicable, applied
from engine.api.frames import DELTA, Frame, Step, Wish

LARGEST_FRAME = 8 * 2**20
HEARTBEAT_S = 10.0


class Pace:
    """How often a viewer wants a snapshot; it may say otherwise at any time, in the loop that reads."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._changed = asyncio.Event()

    @property
    def interval_ms(self) -> int:
        """The time between two snapshots."""
        return self._interval_ms

    def ask(self, interval_ms: int) -> None:
        """Another pace, from now on."""
        if interval_ms != self._interval_ms:
            self._interval_ms = interval_ms
            self._changed.set()

    def taken(self) -> int:
        """The pace, which is the engine's from now on."""
        self._changed.clear()
        return self._interval_ms

    async def change(self) -> int:
        """The pace, when it is another than was taken."""
        await self._changed.wait()
        return self.taken()


async def read_snapshots(
    session: aiohttp.ClientSession, base: str, headers: dict[str, str], pace: Pace
) -> AsyncGenerator[wire.Snapshot, None]:
    """Snapshots at a viewer's pace until the engine ends.

    Raises what aiohttp raises of a broken connection, and MsgspecError for an engine of another language.
    """
    while True:
        asked_ms = pace.taken()
        url = f"{base}/stream?interval_ms={asked_ms}"
        async with session.ws_connect(
            url, headers=headers, protocols=(DELTA,), heartbeat=HEARTBEAT_S, max_msg_size=LARGEST_FRAME
        ) as socket:
            asking = asyncio.create_task(_ask(socket, pace))
            try:
                async for snapshot in _snapshots(socket):
                    yield snapshot
            finally:
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await asking
        # An engine that takes no wishes was left for another pace, and is asked anew.
        if socket.protocol == DELTA or pace.interval_ms == asked_ms:
            return


async def _ask(socket: aiohttp.ClientWebSocketResponse, pace: Pace) -> None:
    """Tell the engine every other pace; one that would not hear it is left."""
    while True:
        interval_ms = await pace.change()
        if socket.protocol != DELTA:
            await socket.close()
            return
        await _wish(socket, Wish(interval_ms=interval_ms))


async def _snapshots(socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[wire.Snapshot, None]:
    last: wire.Snapshot | None = None
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        if socket.protocol != DELTA:
            yield msgspec.json.decode(message.data, type=wire.Snapshot)
            continue
        frame = msgspec.json.decode(message.data, type=Frame)
        last = _next(last, frame)
        if last is not None:
            yield last
        else:
            await _wish(socket, Wish(whole=True))


def _next(last: wire.Snapshot | None, frame: Frame) -> wire.Snapshot | None:
    """The snapshot of a frame; None when the frame does not follow on the last one."""
    if not isinstance(frame, Step):
        return frame.snapshot
    if last is None or frame.since != last.seq:
        return None
    try:
        return applied(frame.changes, last)
    except NotApplicable:
        return None


async def _wish(socket: aiohttp.ClientWebSocketResponse, wish: Wish) -> None:
    await socket.send_str(msgspec.json.encode(wish).decode())
