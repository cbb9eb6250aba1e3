"""The only place from which transaction bytes leave: gated, lean, and never asked to retry for us.

The same bytes go to several nodes at once: that is one signature, which lands once. Each write is one piece
on a connection that is open already, right after a look at the gate.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
import structlog
from solders.signature import Signature

from engine.api.clean import clean
from engine.chain.http_answer import HttpAnswer
from engine.chain.keepalive import Connection, NodeConnections, NotAnswered
from engine.chain.lines import SendLines
from engine.chain.parcel import Parcel
from engine.chain.port import NODE_UNHEALTHY, NoLongerWanted, RpcFailure
from engine.chain.retry_after import retry_after_s
from engine.clock import Clock
from engine.control import Gate, SendingStopped

log = structlog.get_logger("chain")

PATIENCE_S = 0.4  # before nodes beyond the first get the bytes too: they land once
MOST_CONNECTIONS = 64  # to one node
_LONGEST_ANSWER = 64 * 1024
_WARM_UP_S = 1.0
_WARM_UP_PAUSE_S = 0.1
_OPENED_AT_ONCE = 4  # a handshake costs a millisecond or two, which nobody else has meanwhile
_MESSAGE_LENGTH = 200
_SIGNATURE = slice(1, 65)  # of a transaction that one key has signed

_BEFORE = b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["'
_BEHIND = b'",{"encoding":"base64","skipPreflight":true,"maxRetries":0}]}'


def request_body(raw: bytes) -> bytes:
    """What a node is asked to do with a signed transaction."""
    return b"".join((_BEFORE, base64.b64encode(raw), _BEHIND))


class Destination(Protocol):
    """A node to send to; see engine.chain.endpoint."""

    @property
    def url(self) -> str:
        """Where to; it may hold a credential."""
        ...

    def charge(self) -> None:
        """Count a request of ours, whatever the budget says."""
        ...

    def failed(self, failure: RpcFailure) -> None:
        """A request failed."""
        ...

    def lied(self, what: str) -> RpcFailure:
        """Its answer cannot be true; returns the failure."""
        ...


@dataclass(frozen=True, slots=True)
class _Ready:
    """A connection that was taken for a request."""

    connection: Connection
    request: bytes


@dataclass(frozen=True, slots=True)
class _Written:
    """A request that has left, and what will be its answer."""

    connection: Connection
    answer: asyncio.Future[HttpAnswer]


class _Sending:
    """One transaction on its way to some nodes."""

    def __init__(
        self, raw: bytes, on_first_write: Callable[[], None], still_wanted: Callable[[], bool]
    ) -> None:
        self.raw = raw
        self.still_wanted = still_wanted
        self.body = request_body(raw)
        self.is_over = False  # taken, or given up: whoever has not written by now does not any more
        self.has_left = False
        self._on_first_write = on_first_write

    def note_write(self) -> None:
        """Bytes leave now."""
        if not self.has_left:
            self.has_left = True
            self._on_first_write()


class Sender:
    """Sends signed transactions to several nodes at once. Use as an async context manager.

    `destinations` gives those that are good now, best first. The first `fan_out` of them get the bytes at
    once; the others when none of those takes them. To each, `ready` connections are kept open.
    """

    def __init__(
        self,
        destinations: Callable[[], Sequence[Destination]],
        gate: Gate,
        clock: Clock,
        deadline_s: float,
        *,
        fan_out: int = 3,
        ready: int = 8,
        lines: SendLines | None = None,
    ) -> None:
        self._destinations = destinations
        self._gate = gate
        self._clock = clock
        self._deadline_s = deadline_s
        self._fan_out = fan_out
        self._ready = min(ready, MOST_CONNECTIONS)
        self._nodes: dict[str, NodeConnections] = {}  # by URL; as many as there are settings for
        self._lines = lines or SendLines()
        gate.listen(self._lines.follow)
        self._warming: asyncio.Task[None] | None = None
        self._attempts: set[asyncio.Task[RpcFailure | SendingStopped | None]] = set()
        self.bytes_out = 0

    async def __aenter__(self) -> Self:
        self._warming = asyncio.create_task(self._keep_warm())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._attempts, *([self._warming] if self._warming else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in self._nodes.values():
            node.close()

    def send(
        self,
        raw: bytes,
        on_write: Callable[[int], None],
        still_wanted: Callable[[], bool] = lambda: True,
    ) -> Awaitable[None]:
        """Send one signed transaction; `on_write` gets the Unix time in ns at which its first bytes leave.

        `still_wanted` is asked before each write, since a connection may have been waited for: where it says
        no, these bytes do not leave, and NoLongerWanted is raised unless others did.

        They leave within this call, where a connection is ready. What is returned has to be awaited: it ends
        with the first node that takes the transaction. It raises SendingStopped when the gate is closed
        (nothing more leaves), RpcFailure when no node took it (the bytes may have arrived all the same).
        maxRetries is 0: after an emergency stop nobody may go on rebroadcasting for us.
        """
        return self.send_together([Parcel(raw, on_write, still_wanted)])[0]

    def send_together(self, parcels: Sequence[Parcel]) -> list[Awaitable[None]]:
        """Send several as `send` does one, their writes right behind each other.

        What has to be made for them is made before the first: a node that reads meanwhile does not fall
        asleep between two of them, and waking it costs more than a write.
        """
        try:
            self._gate.check()
            nodes = self._destinations()
            if not nodes:
                raise RpcFailure("node error: no node is fit to be sent to")
        except (SendingStopped, RpcFailure) as failure:
            return [_Answers(partial(_fail, failure)) for _ in parcels]
        first = nodes[: self._fan_out]
        sendings = [self._sending(parcel) for parcel in parcels]
        ready = [self._made_ready(first, each) if each.still_wanted() else None for each in sendings]
        return [
            _Answers(partial(_fail, NoLongerWanted()))
            if made is None
            else self._sent_now(nodes, sending, made)
            for sending, made in zip(sendings, ready, strict=True)
        ]

    def _sending(self, parcel: Parcel) -> _Sending:
        on_write = parcel.on_write
        return _Sending(parcel.raw, lambda: on_write(self._clock.now_ns()), parcel.still_wanted)

    def _made_ready(self, nodes: Sequence[Destination], sending: _Sending) -> list[_Ready | None]:
        """An idle connection to each node, and what is to be written on it."""
        ready: list[_Ready | None] = []
        for node in nodes:
            connections = self._connections_of(node)
            connection = connections.take()
            ready.append(
                None if connection is None else _Ready(connection, connections.request(sending.body))
            )
        return ready

    def _sent_now(
        self, nodes: Sequence[Destination], sending: _Sending, ready: Sequence[_Ready | None]
    ) -> _Answers:
        """Write what is ready. Nothing was awaited since it was asked whether the transaction is wanted."""
        written: list[_Written | None] = []
        try:
            self._gate.check()
            for node, made in zip(nodes, ready, strict=False):
                written.append(None if made is None else self._post_or_not(node, made, sending))
        except SendingStopped as stopped:
            for node, made in list(zip(nodes, ready, strict=False))[len(written) :]:
                if made is not None:
                    self._connections_of(node).give_back(made.connection)
            return _Answers(partial(_fail, stopped))
        return _Answers(partial(self._hear, nodes, sending, written))

    def _post_or_not(self, node: Destination, ready: _Ready, sending: _Sending) -> _Written | None:
        try:
            return self._post(node, ready, sending)
        except NotAnswered:
            return None

    def _post(self, node: Destination, ready: _Ready, sending: _Sending) -> _Written:
        """One write of the whole request, right behind a look at the gate. Raises what `_write` does."""
        self._gate.check()
        # Nothing may be awaited from here to the write.
        sending.note_write()
        self.bytes_out += len(sending.body)
        node.charge()
        return _Written(ready.connection, ready.connection.post(ready.request, _LONGEST_ANSWER))

    async def _hear(
        self, nodes: Sequence[Destination], sending: _Sending, written: Sequence[_Written | None]
    ) -> None:
        """Wait for the answers; where none of them is good, write to the nodes beyond the first."""
        try:
            await self._in_waves(nodes, sending, written)
        finally:
            sending.is_over = True

    async def _in_waves(
        self, nodes: Sequence[Destination], sending: _Sending, written: Sequence[_Written | None]
    ) -> None:
        failures: list[RpcFailure] = []
        pending: set[asyncio.Task[RpcFailure | SendingStopped | None]] = set()
        for start in range(0, len(nodes), self._fan_out):
            is_last = start + self._fan_out >= len(nodes)
            wave = nodes[start : start + self._fan_out]
            if start:
                written = [self._write_now(node, sending) for node in wave]
            pending |= self._attempts_at(wave, sending, written)
            end_s = None if is_last else asyncio.get_running_loop().time() + PATIENCE_S
            while pending:
                done, pending = await asyncio.wait(
                    pending,
                    timeout=None if end_s is None else max(0.0, end_s - asyncio.get_running_loop().time()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    break  # they are silent: the next ones get the bytes too
                for task in done:
                    failure = task.result()
                    if failure is None:
                        return
                    if isinstance(failure, SendingStopped):
                        raise failure
                    failures.append(failure)
            if any(_is_final(failure) for failure in failures):
                break
            if not is_last:
                reason = str(failures[-1]) if failures else "no answer yet"
                log.warning("not taken, the next nodes get it", reason=reason)
        raise max(failures, key=_tells)

    def _attempts_at(
        self, nodes: Sequence[Destination], sending: _Sending, written: Sequence[_Written | None]
    ) -> set[asyncio.Task[RpcFailure | SendingStopped | None]]:
        """Hear of each node that was written to, and write to those that had no connection ready."""
        tasks = set()
        for node, waiter in zip(nodes, written, strict=True):
            task = asyncio.create_task(self._attempt(node, sending, waiter))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)
            tasks.add(task)
        return tasks

    def _write_now(self, node: Destination, sending: _Sending) -> _Written | None:
        """Write on an idle connection; None without one, or when nothing left on it."""
        connection = self._connections_of(node).take()
        if connection is None:
            self._gate.check()
            return None
        try:
            return self._write(node, connection, sending)
        except (NotAnswered, NoLongerWanted):
            return None

    def _write(self, node: Destination, connection: Connection, sending: _Sending) -> _Written:
        """One write of the whole request. Raises SendingStopped, NoLongerWanted, NotAnswered."""
        connections = self._connections_of(node)
        ready = _Ready(connection, connections.request(sending.body))
        try:
            if not sending.still_wanted():
                raise NoLongerWanted
            return self._post(node, ready, sending)
        except (SendingStopped, NoLongerWanted):
            connections.give_back(connection)
            raise

    async def _attempt(
        self, node: Destination, sending: _Sending, written: _Written | None
    ) -> RpcFailure | SendingStopped | None:
        """What becomes of it at one node; None when that takes the transaction."""
        connection = None if written is None else written.connection
        try:
            async with asyncio.timeout(self._deadline_s):
                if written is None:
                    connection = await self._connections_of(node).acquire()
                    if sending.is_over:
                        self._connections_of(node).give_back(connection)
                        return None
                    written = self._write(node, connection, sending)
                failure = _refusal(node, await written.answer, sending.raw)
        except (SendingStopped, NoLongerWanted) as kept_back:
            return kept_back
        except TimeoutError:
            failure = RpcFailure("timeout while sending", is_timeout=True)
            if connection is not None:
                connection.abort("no answer in time")
        except (NotAnswered, OSError, ValueError) as error:
            failure = RpcFailure(f"node error while sending: {type(error).__name__}")
        if failure is not None:
            try:
                self._gate.check()
            except SendingStopped as stopped:  # it has cut the lines: no fault of the node
                return failure if sending.has_left else stopped
            node.failed(failure)
        return failure

    def _connections_of(self, node: Destination) -> NodeConnections:
        known = self._nodes.get(node.url)
        if known is None:
            known = self._nodes[node.url] = NodeConnections(
                node.url, most=MOST_CONNECTIONS, writes_at_once=True, make_socket=self._lines.open
            )
        return known

    async def _keep_warm(self) -> None:
        """Keep connections open to whoever would be sent to now; ends only by cancellation."""
        while True:
            nodes = [self._connections_of(node) for node in self._destinations()[: self._fan_out]]
            opening = []
            for node in nodes:
                node.retire()
                missing = min(_OPENED_AT_ONCE, self._ready - node.idle)
                opening += [asyncio.wait_for(node.open_another(), _WARM_UP_S) for _ in range(missing)]
            await asyncio.gather(*opening, return_exceptions=True)  # the pool knows who is away
            await self._clock.sleep(_WARM_UP_PAUSE_S)


class _Answers:
    """What came of a send that has begun; nothing runs before somebody waits for it."""

    def __init__(self, hear: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._hear = hear

    def __await__(self) -> Generator[Any, None, None]:
        return self._hear().__await__()


async def _fail(failure: SendingStopped | RpcFailure) -> None:
    raise failure


def _refusal(node: Destination, answer: HttpAnswer, raw: bytes) -> RpcFailure | None:
    """Why the node did not take the transaction, in its own words if it has some; None when it took it."""
    status, retry_after = answer.status, answer.headers.get(b"retry-after")
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
    ):
        wait_s = retry_after_s(None if retry_after is None else retry_after.decode("latin-1"))
        return RpcFailure(f"node error: HTTP status {status}", retry_after_s=wait_s)
    try:
        reply = msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict) or not ("error" in reply or "result" in reply):
        return RpcFailure(f"node error: the answer cannot be read (HTTP status {status})")
    error = reply.get("error")
    if error is not None:
        message = str(error.get("message", error) if isinstance(error, dict) else error)
        code = error.get("code") if isinstance(error, dict) else None
        words = clean(message, _MESSAGE_LENGTH)
        return RpcFailure(f"node error: {words}", code=code if isinstance(code, int) else None)
    if status != HTTPStatus.OK:
        return RpcFailure(f"node error: HTTP status {status}")
    if reply["result"] != str(Signature.from_bytes(raw[_SIGNATURE])):
        return node.lied("it took a transaction of ours for another one")
    return None


def _is_final(failure: RpcFailure) -> bool:
    """Whether it is about the transaction: other nodes would say the same."""
    return failure.code not in (None, NODE_UNHEALTHY)


def _tells(failure: RpcFailure) -> int:
    """How much a failure says of why the transaction was not taken."""
    if _is_final(failure):
        return 3
    return 0 if failure.is_timeout else 1 + (failure.code is None)
