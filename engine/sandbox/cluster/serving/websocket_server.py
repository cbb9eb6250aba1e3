"""The node's WebSocket side: subscriptions in, notifications out, slow readers dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from engine.sandbox.cluster.rpc.jsonrpc import Dispatcher
from engine.sandbox.cluster.rpc.params import Method, Params
from engine.sandbox.cluster.serving.interference import Interference, Push
from engine.sandbox.cluster.serving.subscriptions import Subscription, Subscriptions

log = structlog.get_logger("cluster")

CLOSE_DEADLINE_S = 1.0
# As much as a node reads; requests to subscribe are short.
MAX_MESSAGE_BYTES = 4 * 1024
MAX_UNSENT_BYTES = 16 * 1024 * 1024
_FINAL_TEXT_FRAME = 0x81


class ClientConnection:
    """Sends one client its messages, all of a loop turn in one write.

    Frames go to the transport directly, whose buffer is the bounded queue: a client that leaves more than
    `max_unsent_bytes` unread is cut off, since what it misses it could not know.
    """

    def __init__(
        self, transport: asyncio.Transport, max_unsent_bytes: int, interference: Interference
    ) -> None:
        self._notify: Push = interference.notifications(self.send, transport.abort)
        self._transport = transport
        self._max_unsent_bytes = max_unsent_bytes
        self._frames: list[bytes] = []
        self._unflushed_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._dropped = False

    def push(self, message: bytes) -> None:
        """Send one notification, in order, without waiting."""
        self._notify(message)

    def send(self, message: bytes) -> None:
        """Send one text message, in order, without waiting."""
        if self._dropped:
            return
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(_frame_header(len(message)))
        self._frames.append(message)
        self._unflushed_bytes += len(message)
        if self._unflushed_bytes > self._max_unsent_bytes:
            self._flush()

    def _flush(self) -> None:
        if not self._frames or self._transport.is_closing():
            self._clear()
            return
        self._transport.write(b"".join(self._frames))
        self._clear()
        if self._transport.get_write_buffer_size() > self._max_unsent_bytes:
            log.warning("client reads too slowly: dropped", unsent_bytes=self._max_unsent_bytes)
            self._dropped = True
            self._transport.abort()

    def _clear(self) -> None:
        self._frames.clear()
        self._unflushed_bytes = 0


class WebSocketService:
    """Serves the subscriptions of every connected client, and the few other methods that a node has here."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        methods: Mapping[str, Method],
        *,
        interference: Interference,
        max_unsent_bytes: int = MAX_UNSENT_BYTES,
    ) -> None:
        self._subscriptions = subscriptions
        self._methods = methods
        self._interference = interference
        self._max_unsent_bytes = max_unsent_bytes
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One connection, from its handshake to its end."""
        # Without compression, so that frames can be written without asking aiohttp for its state.
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        if not socket.can_prepare(request):
            return web.Response(status=400, text="This is a WebSocket endpoint.\n")
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        client = ClientConnection(transport, self._max_unsent_bytes, self._interference)
        methods = _ConnectionMethods(self._subscriptions, client)
        dispatcher = Dispatcher({**self._methods, **methods.by_name()})
        self._open.add(socket)
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                call = dispatcher.read(message.data)
                if not call.well_formed and not _is_text(message.data):
                    break
                response = b"".join(dispatcher.answer(call))
                if response:
                    client.send(response)
                methods.catch_up()
        finally:
            self._open.discard(socket)
            self._subscriptions.disconnect(client)
        return socket

    async def close(self) -> None:
        """Say goodbye to every client; one that does not answer in time is left to the server's end."""
        self._subscriptions.close()
        goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._open]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await asyncio.gather(*goodbyes, return_exceptions=True)


class _ConnectionMethods:
    """The subscribe and unsubscribe methods, bound to one connection."""

    def __init__(self, subscriptions: Subscriptions, client: ClientConnection) -> None:
        self._subscriptions = subscriptions
        self._client = client
        self._new: list[Subscription] = []

    def by_name(self) -> dict[str, Method]:
        """Every method of a connection, by its wire name."""
        methods: dict[str, Method] = {}
        for kind in self._subscriptions.kinds():
            methods[f"{kind}Subscribe"] = partial(self._subscribe, kind)
            methods[f"{kind}Unsubscribe"] = self._unsubscribe
        return methods

    def catch_up(self) -> None:
        """Once the ids of new subscriptions are on their way: what they should have told already."""
        for subscription in self._new:
            self._subscriptions.catch_up(subscription)
        self._new.clear()

    def _subscribe(self, kind: str, params: Params) -> object:
        subscription = self._subscriptions.subscribe(kind, params, self._client)
        self._new.append(subscription)
        return subscription.id

    def _unsubscribe(self, params: Params) -> object:
        # As on a node, any kind's method ends a subscription of any kind.
        self._subscriptions.unsubscribe(params.integer(0), self._client)
        return True


def _is_text(data: bytes | str) -> bool:
    """Whether a message is UTF-8; a node says nothing to others, and hangs up."""
    try:
        return isinstance(data, str) or bool(data.decode()) or not data
    except UnicodeDecodeError:
        return False


def _frame_header(length: int) -> bytes:
    """The header of an unmasked, unfragmented text frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((_FINAL_TEXT_FRAME, length))
    if length < 1 << 16:
        return bytes((_FINAL_TEXT_FRAME, 126)) + length.to_bytes(2, "big")
    return bytes((_FINAL_TEXT_FRAME, 127)) + length.to_bytes(8, "big")
