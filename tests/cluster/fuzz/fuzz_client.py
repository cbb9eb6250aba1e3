"""Sends cases over real sockets, many at a time, and says what a node may not answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from fuzz_cases import HANDSHAKE, Case

DEADLINE_S = 30.0
STATUSES = {200, 400, 405, 408, 413, 415, 431}
_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
# What a node answers with this code on purpose.
HONEST_INTERNAL_ERRORS = ("airdrop request failed", "Subscription refused")


class Fuzzer:
    """Counts what came back; `faults` are answers that no node gives, with their case."""

    def __init__(self, rpc_url: str, ws_url: str) -> None:
        self._rpc = _address(rpc_url)
        self._ws = _address(ws_url)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answers: Counter[str] = Counter()
        self.faults: list[tuple[Case, str]] = []

    async def send(self, case: Case) -> None:
        """Send one case and look at what comes."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                if case.over == "json":
                    fault = await self._post(case)
                elif case.over == "http":
                    fault = await self._raw_http(case)
                else:
                    fault = await self._websocket(case)
        except TimeoutError:
            fault = "no end within the deadline"
        if fault is not None:
            self.faults.append((case, fault))

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.close()

    async def _post(self, case: Case) -> str | None:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._rpc)
        length = b"Content-Length: %d\r\n\r\n" % len(case.data)
        try:
            writer.write(_POST + length + case.data)
            status, headers, body = await read_response(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            writer.close()
            return f"the connection ended without a response: {error!r}"
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return self._judge(status, body)

    async def _raw_http(self, case: Case) -> str | None:
        reader, writer = await asyncio.open_connection(*self._rpc)
        with contextlib.suppress(OSError):
            writer.write(case.data)
            writer.write_eof()
        fault = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            status, _, body = await read_response(reader)
            fault = self._judge(status, body)
        writer.close()
        return fault

    async def _websocket(self, case: Case) -> str | None:
        reader, writer = await asyncio.open_connection(*self._ws)
        received = b""
        try:
            if case.greeted:
                writer.write(HANDSHAKE)
                await reader.readuntil(b"\r\n\r\n")
            writer.write(case.data)
            writer.write_eof()
            received = await reader.read(-1)
        except (OSError, asyncio.IncompleteReadError):
            self.answers["hung up"] += 1
        writer.close()
        self.answers["websocket"] += 1
        return "Internal error" if b'"message":"Internal error"' in received else None

    def _judge(self, status: int, body: bytes) -> str | None:
        self.answers[str(status)] += 1
        if status not in STATUSES:
            return f"status {status}"
        if status != 200 or not body:
            return None
        try:
            answers: Any = json.loads(body)
        except ValueError as error:
            return f"an answer that is no JSON: {error}"
        for answer in answers if isinstance(answers, list) else [answers]:
            fault = self._judge_answer(answer)
            if fault is not None:
                return fault
        return None

    def _judge_answer(self, answer: Any) -> str | None:
        if not isinstance(answer, dict) or ("result" in answer) == ("error" in answer):
            return f"no JSON-RPC response: {str(answer)[:200]}"
        if "error" not in answer:
            self.answers["result"] += 1
            return None
        code, message = answer["error"]["code"], answer["error"]["message"]
        self.answers[str(code)] += 1
        if code == -32603 and not any(honest in message for honest in HONEST_INTERNAL_ERRORS):
            return f"an internal error: {message}"
        return None


async def read_response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of one HTTP response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") != "chunked":
        return int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return int(first.split()[1]), headers, body


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
