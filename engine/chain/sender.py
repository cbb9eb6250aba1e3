"""The only place from which transaction bytes leave: gated, lean, and never asked to retry for us."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import structlog
from aiohttp.abc import AbstractStreamWriter
from solders.signature import Signature

from engine.api.clean import clean
from engine.chain.lines import SendLines
from engine.chain.port import NODE_UNHEALTHY, RpcFailure
from engine.chain.retry_after import retry_after_s
from engine.clock import Clock
from engine.control import Gate, SendingStopped

log = structlog.get_logger("chain")

PATIENCE_S = 0.4  # for every node but the last: the same bytes may go to several, they land once
_CONNECTIONS = 64
_LONGEST_ANSWER = 64 * 1024


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
        """An answer cannot be true; returns the failure to raise."""
        ...


class _GatedBody(aiohttp.BytesPayload):
    """A request body that asks the gate at the moment of writing.

    aiohttp holds the request's headers back until the first piece of the body, so a refusal here means that
    not one byte of the request leaves. Between the check and the transport's write there is no await.
    """

    def __init__(self, body: bytes, gate: Gate, on_write: Callable[[], None]) -> None:
        super().__init__(body, content_type="application/json")
        self._gate = gate
        self._on_write = on_write

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Check the gate, then write."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Check the gate, then write."""
        self._gate.check()
        self._on_write()
        await super().write_with_length(writer, content_length)


class Sender:
    """Sends signed transactions to the first of some nodes. Use as an async context manager.

    `destinations` gives those that are good now, best first; the next one is for when one does not take them.
    """

    def __init__(
        self,
        destinations: Callable[[], Sequence[Destination]],
        gate: Gate,
        clock: Clock,
        deadline_s: float,
    ) -> None:
        self._destinations = destinations
        self._gate = gate
        self._clock = clock
        self._deadline_s = deadline_s
        self._session: aiohttp.ClientSession | None = None
        self._lines = SendLines()
        gate.listen(self._lines.follow)
        self.bytes_out = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_CONNECTIONS, keepalive_timeout=60.0, socket_factory=self._lines.open
            ),
            timeout=aiohttp.ClientTimeout(total=self._deadline_s),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, raw: bytes, on_write: Callable[[int], None]) -> None:
        """Send one signed transaction; `on_write` gets the Unix time in ns at which its first bytes leave.

        Raises SendingStopped when the gate is closed (nothing left), RpcFailure when the node refused or did
        not answer (the bytes may have arrived all the same). maxRetries is 0: after an emergency stop nobody
        may go on rebroadcasting for us.
        """
        self._gate.check()
        body, signature = _request(raw), str(Signature.from_bytes(raw[1:65]))
        left = False

        def note() -> None:
            nonlocal left
            self.bytes_out += len(body)
            if not left:
                left = True
                on_write(self._clock.now_ns())

        nodes = self._destinations()
        for number, node in enumerate(nodes, 1):
            is_last = number == len(nodes)
            node.charge()
            try:
                told = await self._send_to(node, body, note, self._deadline_s if is_last else PATIENCE_S)
                if told != signature:
                    raise node.lied("it took a transaction of ours for another one")
                return
            except RpcFailure as failure:
                if not left:
                    self._gate.check()  # the stop cut the line before the first byte
                if self._gate.state.is_running:  # else it cut it later: no fault of the node
                    node.failed(failure)
                if is_last or failure.code not in (None, NODE_UNHEALTHY):
                    raise
                log.warning("not taken, the next node gets it", reason=str(failure))
        raise RpcFailure("node error: no node is fit to be sent to")

    async def _send_to(
        self, node: Destination, body: bytes, note: Callable[[], None], deadline_s: float
    ) -> object:
        """One request to one node, gated; what it calls the transaction."""
        session = self._session
        if session is None:
            raise RuntimeError("Sender is used outside of its context")
        try:
            # A redirect would carry the transaction to where nobody sent it.
            async with session.post(
                node.url,
                data=_GatedBody(body, self._gate, note),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=deadline_s),
            ) as response:
                answer = await _read(response)
        except SendingStopped:
            raise
        except TimeoutError as error:
            raise RpcFailure("timeout while sending", is_timeout=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error.__cause__, SendingStopped):
                raise error.__cause__ from None
            raise RpcFailure(f"node error while sending: {type(error).__name__}") from error
        return _taken(response, answer)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The answer's body; one that is longer than any answer to a transaction is cut off."""
    answer = b""
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > _LONGEST_ANSWER:
            break
    return answer


def _taken(response: aiohttp.ClientResponse, answer: bytes) -> object:
    """The result of a node that took the transaction; raises RpcFailure, in its own words if it has some."""
    status = response.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait_s = retry_after_s(response.headers.get("Retry-After"))
        raise RpcFailure(f"node error: HTTP status {status}", retry_after_s=wait_s)
    try:
        reply = json.loads(answer)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        if status == HTTPStatus.OK and "result" in reply and "error" not in reply:
            return reply["result"]
        error = reply.get("error")
        if error is not None:
            message = clean(str(error.get("message", error) if isinstance(error, dict) else error), 200)
            code = error.get("code") if isinstance(error, dict) else None
            raise RpcFailure(f"node error: {message}", code=code if isinstance(code, int) else None)
    raise RpcFailure(f"node error: the answer cannot be read (HTTP status {status})")


def _request(raw: bytes) -> bytes:
    """The JSON-RPC request of one transaction."""
    options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
    params = [base64.b64encode(raw).decode(), options]
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": params}).encode()
