"""One JSON-RPC call of a node over HTTP: bounded in time and size, and with one kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from engine.api.clean import clean
from engine.chain.http_answer import HttpAnswer
from engine.chain.keepalive import Connection, NodeConnections, NotAnswered
from engine.chain.port import RpcFailure
from engine.chain.retry_after import DEFAULT_S, retry_after_s

CONNECTIONS_PER_HOST = 64
LONGEST_ANSWER = 16 * 1024 * 1024  # of accounts, of which one alone may have ten megabytes
LONGEST_OTHER = 4 * 1024 * 1024
_WITH_ACCOUNTS = ("getAccountInfo", "getMultipleAccounts")
_MESSAGE_LENGTH = 200


class _Reply(msgspec.Struct):
    """The envelope of an answer; what is inside is read by whoever asked."""

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

    async def call(self, method: str, params: Sequence[Any], deadline_s: float) -> bytes:
        """The whole answer, which holds a result. Raises RpcFailure. Redirects are not followed."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        longest = LONGEST_ANSWER if method in _WITH_ACCOUNTS else LONGEST_OTHER
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
                connection.abort("given up")  # an answer that comes late must not be taken for another's
        retry_after = answer.headers.get(b"retry-after")
        check_status(answer.status, None if retry_after is None else retry_after.decode("latin-1"))
        _check_reply(answer.body)
        return answer.body


def _check_reply(answer: bytes) -> None:
    """Raise RpcFailure when the answer is an error of the node, or none that can be read."""
    try:
        reply = msgspec.json.decode(answer, type=_Reply)
        detail = msgspec.json.decode(reply.error) if reply.error else None
    except (ValueError, RecursionError) as error:
        raise RpcFailure(f"the node's answer cannot be read: {type(error).__name__}") from error
    if detail is not None:
        raise _refusal(detail)
    if not reply.result:
        raise RpcFailure("the node's answer cannot be read: it has no result")


def _refusal(detail: object) -> RpcFailure:
    """The node's own error, in its words."""
    code = detail.get("code") if isinstance(detail, dict) else None
    message = detail.get("message", detail) if isinstance(detail, dict) else detail
    words = clean(str(message), _MESSAGE_LENGTH)
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return RpcFailure(f"node error: {words}", retry_after_s=DEFAULT_S)
    return RpcFailure(f"node error: {words}", code=code if isinstance(code, int) else None)


def check_status(status: int, retry_after: str | None) -> None:
    """Raise RpcFailure for what a node that answers the call does not say."""
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) and (
        retry_after is not None or status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        raise RpcFailure(f"node error: HTTP status {status}", retry_after_s=retry_after_s(retry_after))
    if status != HTTPStatus.OK:
        raise RpcFailure(f"node error: HTTP status {status}")
