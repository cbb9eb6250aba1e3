"""One JSON-RPC call of a node over HTTP: bounded in time and size, and with one kind of failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec

from engine.api.clean import clean
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


def open_session() -> aiohttp.ClientSession:
    """A session for all endpoints; its owner closes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST, keepalive_timeout=60.0),
        timeout=aiohttp.ClientTimeout(total=None),  # every call brings its own deadline
    )


class JsonRpc:
    """Calls one URL, which may hold a credential and is never repeated in a failure."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def call(self, method: str, params: Sequence[Any], deadline_s: float) -> bytes:
        """The whole answer, which holds a result. Raises RpcFailure."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(deadline_s),
                # A redirect would ask a node that nobody has named.
                self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                check_status(response)
                answer = await _read(response, LONGEST_ANSWER if method in _WITH_ACCOUNTS else LONGEST_OTHER)
        except TimeoutError as error:
            raise RpcFailure(f"timeout after {deadline_s:.1f} s", is_timeout=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise RpcFailure(f"node unreachable ({type(error).__name__})") from error
        _check_reply(answer)
        return answer


async def _read(response: aiohttp.ClientResponse, longest: int) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > longest:
            raise RpcFailure(f"the node's answer is longer than {longest} bytes")
    return bytes(answer)


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


def check_status(response: aiohttp.ClientResponse) -> None:
    """Raise RpcFailure for what a node that answers the call does not say."""
    if response.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        header = response.headers.get("Retry-After")
        if header is not None or response.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise RpcFailure(
                f"node error: HTTP status {response.status}", retry_after_s=retry_after_s(header)
            )
    if response.status != HTTPStatus.OK:
        raise RpcFailure(f"node error: HTTP status {response.status}")
