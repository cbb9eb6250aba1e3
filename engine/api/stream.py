"""Sends snapshots to viewers, each at its own pace: what changed since the last, or everything.

One frame to a viewer is on its way at most, and a viewer that does not read is dropped instead of filling
memory. Viewers that look at the same moment share one look at the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from engine.api import wire
from engine.api.delta import difference
from engine.api.frames import DELTA, FASTEST_MS, SLOWEST_MS, Step, Whole, Wish
from engine.api.goodbye import say_goodbye
from engine.api.parameters import Whole as WholeNumber
from engine.api.routes import Call, Route, Scope

log = structlog.get_logger("api")

WRITE_DEADLINE_S = 10.0  # a viewer that reads slower than this is dropped; it comes back with a new snapshot
WHOLE_EVERY_S = 60.0
SHARED_FOR_S = FASTEST_MS / 2000  # looks that are closer together than half the fastest pace are one
MOST_WISH_BYTES = 1024
_LARGE_BYTES = 32 * 1024  # a difference of this size may be longer than the whole
_PING_S = 15.0

Attached = Callable[[Call], AbstractAsyncContextManager[None]]  # what holds while a viewer is there


class Streams:
    """The viewers of one engine. Belongs to the listeners' loop."""

    def __init__(
        self,
        take: Callable[[], Awaitable[wire.Snapshot]],
        attached: Attached = lambda _: nullcontext(),
    ) -> None:
        self._pictures = _SharedLook(take)
        self._attached = attached
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    def route(self) -> Route:
        """Its one operation."""
        return Route(
            "GET",
            "/stream",
            Scope.READ,
            self._serve,
            "A WebSocket of snapshots at the viewer's pace",
            wire.Snapshot,
            query=(WholeNumber("interval_ms", FASTEST_MS, SLOWEST_MS, 1000),),
            unix_only=True,
        )

    async def close(self) -> None:
        """Say goodbye to the viewers."""
        await say_goodbye(self._open)

    async def _serve(self, call: Call) -> web.StreamResponse:
        async with self._attached(call):
            stream = web.WebSocketResponse(
                heartbeat=_PING_S, max_msg_size=MOST_WISH_BYTES, protocols=(DELTA,)
            )
            await stream.prepare(call.request)
            self._open.add(stream)
            viewer = Viewer(stream, self._pictures.look, call.query["interval_ms"] / 1000)
            listener = asyncio.ensure_future(viewer.listen())
            try:
                await viewer.serve()
            except (TimeoutError, ConnectionError) as error:
                log.info("viewer dropped", reason=type(error).__name__)
            finally:
                listener.cancel()
                self._open.discard(stream)
            return stream


class Viewer:
    """One connection: what it was sent last, and what it wishes."""

    def __init__(
        self,
        stream: web.WebSocketResponse,
        look: Callable[[], Awaitable[wire.Snapshot]],
        interval_s: float,
    ) -> None:
        self._stream = stream
        self._look = look
        self._interval_s = interval_s
        self._takes_differences = stream.ws_protocol == DELTA
        self._sent: wire.Snapshot | None = None
        self._whole_at_s = 0.0
        self._heard = asyncio.Event()
        self._gone = False

    async def serve(self) -> None:
        """Send until the viewer goes. Raises TimeoutError when it, or the engine, is too slow."""
        while not self._gone:
            self._heard.clear()
            text = self._frame(await self._look())
            async with asyncio.timeout(WRITE_DEADLINE_S):
                await self._stream.send_str(text)
            if not self._gone:
                await self._pause()

    async def listen(self) -> None:
        """Take wishes until the viewer goes; one that talks nonsense is sent away."""
        async for message in self._stream:
            if not self._takes_differences:
                continue
            try:
                wish = msgspec.json.decode(message.data, type=Wish)
            except (ValueError, TypeError, RecursionError):
                await self._stream.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no wish of a viewer")
                break
            self._take(wish)
        self._gone = True
        self._heard.set()

    def _take(self, wish: Wish) -> None:
        if wish.interval_ms is not None:
            self._interval_s = wish.interval_ms / 1000
        if wish.whole:
            self._sent = None
        self._heard.set()

    async def _pause(self) -> None:
        """Until the next look; a wish shortens it, but not below the fastest pace."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.sleep(FASTEST_MS / 1000)
        while not self._gone and (left_s := began_s + self._interval_s - loop.time()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._heard.wait()
            except TimeoutError:
                return
            if self._sent is None:
                return
            self._heard.clear()

    def _frame(self, snapshot: wire.Snapshot) -> str:
        if not self._takes_differences:
            return msgspec.json.encode(snapshot).decode()
        before, self._sent = self._sent, snapshot
        now_s = asyncio.get_running_loop().time()
        if before is not None and now_s - self._whole_at_s < WHOLE_EVERY_S:
            step = msgspec.json.encode(Step(since=before.seq, changes=difference(before, snapshot)))
            if len(step) < _LARGE_BYTES:
                return step.decode()
            whole = msgspec.json.encode(Whole(snapshot=snapshot))
            if len(step) < len(whole):
                return step.decode()
        else:
            whole = msgspec.json.encode(Whole(snapshot=snapshot))
        self._whole_at_s = now_s
        return whole.decode()


class _SharedLook:
    """One look at the engine for all who want one at the same moment."""

    def __init__(self, take: Callable[[], Awaitable[wire.Snapshot]]) -> None:
        self._take = take
        self._looking: asyncio.Future[wire.Snapshot] | None = None
        self._began_s = 0.0

    async def look(self) -> wire.Snapshot:
        """A snapshot that is hardly older than the question; raises what taking it raises."""
        now_s = asyncio.get_running_loop().time()
        last = self._looking
        if last is None or (last.done() and (now_s - self._began_s >= SHARED_FOR_S or _failed(last))):
            self._began_s = now_s
            self._looking = last = asyncio.ensure_future(self._take())
        # A viewer that goes meanwhile takes nobody else's look along.
        return await asyncio.shield(last)


def _failed(looking: asyncio.Future[wire.Snapshot]) -> bool:
    return looking.cancelled() or looking.exception() is not None
