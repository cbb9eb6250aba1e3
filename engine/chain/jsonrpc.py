"""JSON-RPC calls of a node over HTTP, one or many a request: bounded in time and size, one kind of failure.

Every call has a number of its own, which its answer has to repeat: one that comes late, or twice, is never
taken for the answer to another call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from engine.api.clean import clean
from engine.chain.http_answer import HttpAnswer
from engine.chain.keepalive import Connection, NodeConnections, NotAnswered
from engine.chain.port import INVALID_REQUEST, RpcFailure
from engine.chain.retry_after import DEFAULT_S, retry_after_s

CONNECTIONS_PER_HOST = 64
LONGEST_ANSWER = 16 * 1024 * 1024  # of accounts, of which one alone may have ten megabytes
LONGEST_OTHER = 4 * 1024 * 1024
_WITH_ACCOUNTS = ("getAccountInfo", "getMultipleAccounts")
_MESSAGE_LENGTH = 200
_REFUSALS_OF_MANY = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


class _Reply(msgspec.Struct):
    """The envelope of an answer; what is inside is read by whoever asked."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Session:
    """The connections to all endpoints; its owner closes it."""

    def __init__(self) -> None:
        self._connections: dict[str, NodeConnections] = {}

    def to(self, url: str) -> NodeConnections:
        """Those to one endpoint."""
        if url not in self._connections:
            self._connections[url] = NodeConnections(url, most=CONNECTIONS_PER_HOST)
        return self._connections[url]

    def close(self) -> None:
        """Close them all."""
        for each in self._connections.values():
            each.close()


class JsonRpc:
    """Calls one URL, which may hold a credential and is never repeated in a failure."""

    def __init__(self, url: str, session: Session) -> None:
        self._connections = session.to(url)
        self._number = 0

    async def call(self, method: str, params: Sequence[Any], deadline_s: float) -> bytes:
        """The whole answer, which holds a result. Raises RpcFailure. Redirects are not followed."""
        number, call = self._numbered(method, params)
        longest = LONGEST_ANSWER if method in _WITH_ACCOUNTS else LONGEST_OTHER
        connection, answer = await self._post(msgspec.json.encode(call), longest, deadline_s)
        _check_http(answer)
        try:
            check_reply(answer.body, number)
        except OtherAnswer:
            connection.abort("it answered another call")  # the true answer may still come
            raise
        return answer.body

    async def call_many(
        self, method: str, many: Sequence[Sequence[Any]], deadline_s: float
    ) -> list[bytes | RpcFailure]:
        """One method with several parameters by one request: for each its whole answer, or why there is none.

        Raises RpcFailure when there is no answer to all of it, with the code INVALID_REQUEST from a node that
        does not take calls together. Each answer is told from the others by its number.
        """
        calls = dict(self._numbered(method, params) for params in many)
        body = msgspec.json.encode(list(calls.values()))
        connection, answer = await self._post(body, LONGEST_ANSWER, deadline_s)
        if answer.status in _REFUSALS_OF_MANY:
            raise RpcFailure(f"node error: HTTP status {answer.status}", code=INVALID_REQUEST)
        _check_http(answer)
        try:
            replies = _sorted_out(answer.body, calls)
        except OtherAnswer:
            connection.abort("it answered another call")
            raise
        return [replies.get(number, RpcFailure("node error: no answer")) for number in calls]

    def _numbered(self, method: str, params: Sequence[Any]) -> tuple[int, dict[str, Any]]:
        self._number += 1
        return self._number, {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}

    async def _post(self, body: bytes, longest: int, deadline_s: float) -> tuple[Connection, HttpAnswer]:
        connection: Connection | None = None
        answer: HttpAnswer | None = None
        try:
            async with asyncio.timeout(deadline_s):
                connection = await self._connections.acquire()
                answer = await connection.post(self._connections.request(body), longest)
        except TimeoutError as error:
            raise RpcFailure(f"timeout after {deadline_s:.1f} s", is_timeout=True) from error
        except NotAnswered as error:
            raise RpcFailure(f"node unreachable ({error})") from error
        except OSError as error:
            raise RpcFailure(f"node unreachable ({type(error).__name__})") from error
        finally:
            if connection is not None and answer is None:
                connection.abort("given up")
        return connection, answer


class OtherAnswer(RpcFailure):
    """An answer under a number that was not asked: what was asked for is on its way, or lost."""

    def __init__(self) -> None:
        super().__init__("the node's answer is to another call")


def check_reply(answer: bytes, number: int) -> None:
    """Raise RpcFailure when the answer is an error of the node, to another call, or none that can be read."""
    _check_envelope(_envelope(answer), number)


def _envelope(answer: bytes | msgspec.Raw) -> _Reply:
    try:
        return msgspec.json.decode(answer, type=_Reply)
    except (ValueError, RecursionError) as error:
        raise RpcFailure(f"the node's answer cannot be read: {type(error).__name__}") from error


def _error_in(reply: _Reply) -> object:
    try:
        return msgspec.json.decode(reply.error) if reply.error else None
    except (ValueError, RecursionError) as error:
        raise RpcFailure(f"the node's answer cannot be read: {type(error).__name__}") from error


def _check_envelope(reply: _Reply, number: int) -> None:
    error = _error_in(reply)
    # A node that could not even read the call has no number to repeat.
    if reply.id != number and (error is None or reply.id is not None):
        raise OtherAnswer
    if error is not None:
        raise _refusal(error)
    if not reply.result:
        raise RpcFailure("the node's answer cannot be read: it has no result")


def _sorted_out(answer: bytes, calls: Container[int]) -> dict[int, bytes | RpcFailure]:
    """The answers to calls that were made together, by their numbers; they come in any order."""
    try:
        parts = msgspec.json.decode(answer, type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        raise _refusal_of_many(_envelope(answer)) from None
    replies: dict[int, bytes | RpcFailure] = {}
    for part in parts:
        reply = _envelope(part)
        if not isinstance(reply.id, int) or reply.id not in calls or reply.id in replies:
            raise OtherAnswer
        try:
            _check_envelope(reply, reply.id)
        except RpcFailure as failure:
            replies[reply.id] = failure
        else:
            replies[reply.id] = bytes(part)
    return replies


def _refusal_of_many(reply: _Reply) -> RpcFailure:
    """What is meant by one answer to many calls: that they are not taken together."""
    error = _error_in(reply)
    if error is None:
        return RpcFailure("the node gave one answer to many calls", code=INVALID_REQUEST)
    refusal = _refusal(error)
    return refusal if refusal.retry_after_s is not None else RpcFailure(str(refusal), code=INVALID_REQUEST)


def _refusal(detail: object) -> RpcFailure:
    """The node's own error, in its words."""
    code = detail.get("code") if isinstance(detail, dict) else None
    message = detail.get("message", detail) if isinstance(detail, dict) else detail
    words = clean(str(message), _MESSAGE_LENGTH)
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return RpcFailure(f"node error: {words}", retry_after_s=DEFAULT_S)
    return RpcFailure(f"node error: {words}", code=code if isinstance(code, int) else None)


def _check_http(answer: HttpAnswer) -> None:
    retry_after = answer.headers.get(b"retry-after")
    check_status(answer.status, None if retry_after is None else retry_after.decode("latin-1"))


def check_status(status: int, retry_after: str | None) -> None:
    """Raise RpcFailure for what a node that answers the call does not say."""
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) and (
        retry_after is not None or status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        raise RpcFailure(f"node error: HTTP status {status}", retry_after_s=retry_after_s(retry_after))
    if status != HTTPStatus.OK:
        raise RpcFailure(f"node error: HTTP status {status}")
