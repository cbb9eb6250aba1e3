"""Hears from nodes that a transaction of ours got into a block, and passes it on as a hint to go and ask.

A notification proves nothing: it only makes the tracker ask for that status now and not at the next slot.
So nothing is lost with a connection that is, and a node that lies can have one question asked in vain.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from solders.signature import Signature

from engine.chain.websocket import Frame, WebSocket, WebSocketFailure, open_websocket
from engine.clock import Clock

log = structlog.get_logger("chain")

MOST_WATCHED = 1024  # others are asked for once a slot all the same
CONNECTIONS = 2
CONNECT_S = 10.0
ANSWER_S = 10.0  # a node that confirms no subscription for so long has gone
GATHER_S = 0.02  # subscribing can wait for the bytes of a whole burst
RECONNECT_DELAYS_S = (0.1, 0.5, 2.0, 5.0)
UNREADABLE_MOST = 100
_FRAME_BYTES = 64 * 1024


class _Params(msgspec.Struct, gc=False):
    subscription: int


class _Message(msgspec.Struct, gc=False):
    """An answer has an id, a notification a method; of what else they hold nothing is believed."""

    id: int | None = None
    result: int | bool | None = None
    method: str = ""
    params: _Params | None = None


_DECODER = msgspec.json.Decoder(_Message)


class Hints(Protocol):
    """Who may tell of a confirmation before a slot's end does."""

    def listen(self, hear: Callable[[Signature], None]) -> None:
        """Where to."""
        ...

    def watch(self, signature: Signature) -> None:
        """This one is on its way."""
        ...

    def forget(self, signature: Signature) -> None:
        """Its end is known."""
        ...


class Confirmations:
    """The signatures in flight, subscribed to at up to two nodes. Methods belong to the loop's thread."""

    def __init__(self, urls: Sequence[str], clock: Clock, *, is_fit: Callable[[str], bool]) -> None:
        self._urls = deque(urls)
        self._clock = clock
        self._is_fit = is_fit
        self._hear: Callable[[Signature], None] = _nobody
        self._watched: dict[Signature, None] = {}
        self._connections: dict[str, _Connection] = {}
        self._is_gathering = False
        self.heard = 0

    def __len__(self) -> int:
        return len(self._watched)

    def listen(self, hear: Callable[[Signature], None]) -> None:
        """Call `hear` with each signature that a node tells of."""
        self._hear = hear

    def watch(self, signature: Signature) -> None:
        """A transaction is on its way; nothing when too many are watched already."""
        if len(self._watched) < MOST_WATCHED:
            self._watched[signature] = None
            self._soon()

    def forget(self, signature: Signature) -> None:
        """Its end is known."""
        if self._watched.pop(signature, _NOT_WATCHED) is None:
            self._soon()

    async def run(self) -> None:
        """Keep connections to nodes; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CONNECTIONS, len(self._urls))):
                group.create_task(self._keep_connected())

    def _soon(self) -> None:
        """Bring the subscriptions up to date, but not in this turn of the loop: sending goes first."""
        if self._connections and not self._is_gathering:
            self._is_gathering = True
            asyncio.get_running_loop().call_later(GATHER_S, self._bring_up_to_date)

    def _bring_up_to_date(self) -> None:
        self._is_gathering = False
        for connection in self._connections.values():
            connection.follow(self._watched)

    def _heard_of(self, signature: Signature) -> None:
        if signature in self._watched:
            self.heard += 1
            self._hear(signature)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            url = self._next_url()
            connection = _Connection(self._heard_of)
            try:
                async with asyncio.timeout(CONNECT_S):
                    socket = await open_websocket(url, connection.on_frames, _FRAME_BYTES)
                try:
                    connection.begin(socket, self._watched)
                    self._connections[url] = connection
                    failures = 0
                    await socket.ended
                finally:
                    self._connections.pop(url, None)
                    connection.end()
            except Exception as error:
                # Whatever broke it, a fault of ours included: hints are not worth an engine.
                log.info("confirmations not heard", reason=f"{type(error).__name__}: {error}"[:200])
            delay_s = RECONNECT_DELAYS_S[min(failures, len(RECONNECT_DELAYS_S) - 1)]
            failures += 1
            await self._clock.sleep(delay_s)

    def _next_url(self) -> str:
        """The one that was left alone for longest, is fit, and has no connection."""
        free = [each for each in self._urls if each not in self._connections] or list(self._urls)
        url = next(filter(self._is_fit, free), free[0])
        self._urls.remove(url)
        self._urls.append(url)
        return url


_NOT_WATCHED = object()


def _nobody(signature: Signature) -> None:
    """Nobody listens yet."""


class _Connection:
    """What one node was asked to tell, and has confirmed to."""

    def __init__(self, hear: Callable[[Signature], None]) -> None:
        self._hear = hear
        self._socket: WebSocket | None = None
        self._number = 0
        self._asked: dict[int, Signature] = {}  # by the number of the request
        self._known: dict[Signature, int | None] = {}  # its subscription; None before that is confirmed
        self._signatures: dict[int, Signature] = {}  # by subscription
        self._deadline: asyncio.TimerHandle | None = None
        self._unreadable = 0

    def begin(self, socket: WebSocket, watched: dict[Signature, None]) -> None:
        """The connection stands: ask for everything that is watched."""
        self._socket = socket
        self.follow(watched)

    def end(self) -> None:
        """The connection is gone, or shall be."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._socket is not None:
            self._socket.close()

    def follow(self, watched: dict[Signature, None]) -> None:
        """Subscribe to what is new among these, and give up what is not among them any more.

        A node that does not read is left, which keeps nothing from the others.
        """
        try:
            self._follow(watched)
        except WebSocketFailure as failure:
            if self._socket is not None:
                self._socket.fail(failure)

    def _follow(self, watched: dict[Signature, None]) -> None:
        for signature in [each for each in watched if each not in self._known]:
            self._known[signature] = None
            self._asked[self._ask("signatureSubscribe", [str(signature), _CONFIRMED])] = signature
        if self._asked and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(ANSWER_S, self._give_up)
        for signature in [each for each in self._known if each not in watched]:
            subscription = self._known[signature]
            if subscription is not None or signature not in self._asked.values():
                del self._known[signature]
            if subscription is not None and self._signatures.pop(subscription, None) is not None:
                self._ask("signatureUnsubscribe", [subscription])

    def on_frames(self, frames: Sequence[Frame]) -> None:
        """Answers and notifications; raises WebSocketFailure when too much of it is nonsense."""
        for frame in frames:
            try:
                message = _DECODER.decode(frame)
            except (ValueError, RecursionError):
                self._unreadable += 1
                if self._unreadable == UNREADABLE_MOST:
                    raise WebSocketFailure(f"{UNREADABLE_MOST} of its messages cannot be read") from None
                continue
            if message.id is not None:
                self._on_answer(message.id, message.result)
            elif message.method == "signatureNotification" and message.params is not None:
                # A subscription tells once and is over.
                signature = self._signatures.pop(message.params.subscription, None)
                if signature is not None:
                    self._hear(signature)

    def _on_answer(self, number: int, result: object) -> None:
        signature = self._asked.pop(number, None)
        if signature is None:
            return
        if isinstance(result, int) and not isinstance(result, bool) and result not in self._signatures:
            self._signatures[result] = signature
            self._known[signature] = result
        if not self._asked and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _ask(self, method: str, params: Sequence[object]) -> int:
        self._number += 1
        call = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        if self._socket is not None:
            self._socket.send(msgspec.json.encode(call).decode())
        return self._number

    def _give_up(self) -> None:
        if self._socket is not None:
            self._socket.fail(WebSocketFailure(f"no subscription was confirmed in {ANSWER_S:.0f} s"))


_CONFIRMED = {"commitment": "confirmed"}
