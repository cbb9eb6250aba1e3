"""A request that is word for word one before has its answer while that is fresh, and nothing else has."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from engine.api import connections
from engine.api.connections import LONGEST_LINE, _Guarded
from engine.api.unreadable import RequestReader

STATS = b"GET /stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Caller:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, text: bytes) -> None:
        self.writer.write(text)

    async def answer(self) -> tuple[bytes, bytes]:
        """The next answer's head and body."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            return head, await self.reader.readexactly(length)

    async def ask(self, text: bytes) -> tuple[bytes, bytes]:
        self.say(text)
        return await self.answer()


@asynccontextmanager
async def calling(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


@pytest.fixture
def read(monkeypatch) -> list[bytes]:
    """What the HTTP library is given to read."""
    given: list[bytes] = []
    read = RequestReader.data_received

    def noted(reader: RequestReader, data: bytes) -> None:
        given.append(data)
        read(reader, data)

    monkeypatch.setattr(RequestReader, "data_received", noted)
    return given


@pytest.fixture
def fresh_for(served):
    """Sets for how many seconds answers are fresh."""
    [kept] = {
        route.run.__self__._kept for route in served.server._routes if route.path in ("/stats", "/risk")
    }

    def change(seconds: float) -> None:
        kept._fresh_s = seconds

    change(3_600)
    return change


async def test_the_same_question_is_read_once_and_answered_the_same_while_it_is_fresh(
    served, read, fresh_for
) -> None:
    async with calling(served) as caller, calling(served) as other:
        first = await caller.ask(STATS)
        again = [await caller.ask(STATS), await other.ask(STATS), await caller.ask(STATS)]
        assert read == [STATS]
        fresh_for(0)
        await caller.ask(STATS)
        assert read == [STATS, STATS]
    assert first[0].startswith(b"HTTP/1.1 200 OK\r\n")
    for head, body in again:
        assert body == first[1]
        for line in (b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Date: "):
            assert line in head


@pytest.mark.parametrize(
    "asked",
    [
        STATS.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer 00ff\r\n\r\n"),
        STATS.replace(b"\r\n\r\n", b"\r\nOrigin: http://evil.example\r\n\r\n"),
        STATS.replace(b"127.0.0.1", b"evil.example"),
        STATS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        STATS.replace(b"HTTP/1.1", b"HTTP/1.0"),
        STATS.replace(b"/stats", b"/stats?limit=1"),
        STATS.replace(b"/stats", b"/ready"),
        HEALTH,
    ],
    ids=["token", "origin", "host", "close", "old", "refused", "unkept", "health"],
)
async def test_whatever_has_more_to_it_is_read_each_time(served, read, fresh_for, asked) -> None:
    async with calling(served) as caller:
        await caller.ask(STATS)
    answers = []
    for _ in range(3):
        async with calling(served) as caller:
            answers.append((await caller.ask(asked))[0].split(b"\r\n")[0])
    assert read == [STATS, asked, asked, asked]
    assert len(set(answers)) == 1


async def test_requests_behind_one_another_are_answered_in_their_order(served, fresh_for) -> None:
    async with calling(served) as caller:
        stats, health = (await caller.ask(STATS))[1], (await caller.ask(HEALTH))[1]
        for text, expected in (
            (STATS + HEALTH + STATS, [stats, health, stats]),
            (HEALTH + STATS, [health, stats]),
            (STATS, [stats]),
        ):
            caller.say(text)
            assert [(await caller.answer())[1] for _ in expected] == expected


async def test_what_another_request_began_is_never_taken_for_a_question_of_its_own(
    served, read, fresh_for
) -> None:
    async with calling(served) as caller:
        await caller.ask(STATS)
        await caller.ask(HEALTH + b"GET /health HTTP/1.1\r\nX: ")
        head, body = await caller.ask(STATS)
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b'{"status":"ok"}')


async def test_a_head_that_is_whispered_is_looked_at_line_by_line(served, read, eventually) -> None:
    async with calling(served) as caller:
        caller.say(b"POST /admin/resume HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        await eventually(lambda: len(read) == 1)
        for _ in range(40):
            caller.say(b"x")
            await asyncio.sleep(0)
        caller.say(b"y\r\nContent-Length: 2\r\n\r\n{}")
        head, _ = await caller.answer()
        assert head.startswith(b"HTTP/1.1 401")
    assert b"".join(read).count(b"x") >= 40
    assert all(each == b"" or b"\n" in each or b"{" in each for each in read)


async def test_a_line_that_never_ends_is_refused(served) -> None:
    async with calling(served) as caller:
        caller.say(b"GET /health HTTP/1.1\r\nX: ")
        for _ in range(4):
            caller.say(b"x" * LONGEST_LINE)
        head, _ = await caller.answer()
        assert b" 400 Bad Request" in head


async def test_a_body_that_comes_behind_its_head_is_read(served) -> None:
    token = served.tokens.add("t", ["admin"], now_s=0, lives_s=1 << 40, replace=False)
    await served.server._access.refresh()
    head = (
        f"POST /admin/retry-all HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 21\r\n\r\n"
    )
    guards = served.server.tcp_connections._open
    async with calling(served) as caller:
        await caller.ask(HEALTH)
        [guard] = guards.values()
        for part in (head.encode(), b'{"outcome":', b'"timeout"}'):
            guard.data_received(part)  # all of it before the server looks at the head
        answer, _ = await caller.answer()
        assert answer.startswith(b"HTTP/1.1 200")


async def test_while_an_answer_is_being_written_no_other_goes_before_it(
    served, read, fresh_for, monkeypatch
) -> None:
    async with calling(served) as caller:
        await caller.ask(STATS)
        monkeypatch.setattr(RequestReader, "is_idle", False)
        await caller.ask(STATS)
    assert read == [STATS, STATS]


async def test_a_connection_that_has_not_been_read_from_for_long_is_read_from(
    served, read, fresh_for, monkeypatch
) -> None:
    async with calling(served) as caller:
        await caller.ask(STATS)
        monkeypatch.setattr(connections, "UNREAD_S", -1.0)
        await caller.ask(STATS)
    assert read == [STATS, STATS]


async def test_who_talks_on_without_waiting_for_a_turn_is_cut_off(served, monkeypatch) -> None:
    monkeypatch.setattr(connections, "LONGEST_HELD", 10)
    ended = []
    end = _Guarded._end
    monkeypatch.setattr(_Guarded, "_end", lambda guard: (ended.append(1), end(guard))[1])
    guards = served.server.tcp_connections._open
    async with calling(served) as caller:
        await caller.ask(HEALTH)
        [guard] = guards.values()
        guard._waits = True
        guard.data_received(HEALTH)
        async with asyncio.timeout(30):
            assert await caller.reader.read() == b""
    assert ended == [1]


async def test_who_does_not_read_gets_no_answers_beyond_what_the_socket_takes(
    served, read, fresh_for, eventually
) -> None:
    guards = served.server.tcp_connections._open
    async with calling(served) as caller:
        await caller.ask(STATS)
        [guard] = guards.values()
        guard.pause_writing()
        caller.say(STATS)
        await eventually(lambda: len(read) == 2)
        guard.resume_writing()
        assert (await caller.answer())[0].startswith(b"HTTP/1.1 200")
