"""The only way out: a real HTTP server counts what arrives, on both event loops."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from solders.signature import Signature

from engine.chain.port import LyingNode, RpcFailure
from engine.chain.sender import Sender
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState, SendingStopped

RAW = bytes(range(256)) * 4
OK = b'{"jsonrpc":"2.0","id":1,"result":"%s"}' % str(Signature.from_bytes(RAW[1:65])).encode()
Test = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Run a test on one of the two event loops."""

    def run(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(work, 20))

    return run


class Node:
    """A server at the level of bytes: it counts everything, and answers when it is told to."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.connections = 0
        self.answer: bytes | None = OK
        self.status = b"200 OK"
        self.headers = b""
        self.in_pieces = False
        self.got_request = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.received += head
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                self.received += await reader.readexactly(length)
                self.got_request.set()
                await self.may_answer.wait()
                if self.answer is None:
                    writer.close()
                    return
                writer.write(
                    b"HTTP/1.1 " + self.status + b"\r\nContent-Type: application/json\r\n" + self.headers
                )
                writer.write(b"Content-Length: %d\r\n\r\n" % len(self.answer) + self.answer[:9])
                await writer.drain()
                await asyncio.sleep(0.01 if self.in_pieces else 0)
                writer.write(self.answer[9:])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class Plain:
    """A destination of which nobody keeps count."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures: list[RpcFailure] = []

    def charge(self) -> None:
        """Nothing is limited here."""

    def failed(self, failure: RpcFailure) -> None:
        self.failures.append(failure)

    def lied(self, what: str) -> RpcFailure:
        return LyingNode("a test's node", what)


@asynccontextmanager
async def sending(tmp_path: Path, deadline_s: float = 5.0):
    """A node, an open gate, and a sender to the node."""
    node = Node()
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    clock = SystemClock()
    first = GateState(1, RUNNING, "engine", 0, "first start")
    gate = Gate.load(tmp_path / "gate.json", clock, first_start=first, has_history=False)
    async with Sender(lambda: [Plain(url)], gate, clock, deadline_s, ready=0) as sender:
        yield node, gate, sender
    server.close()


def ignore(_: int) -> None:
    """Nobody asks when the bytes left."""


def test_a_transaction_goes_out_once_with_no_retries_by_the_node(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            times: list[int] = []
            await sender.send(RAW, times.append)
            head, body = bytes(node.received).split(b"\r\n\r\n")
            request = json.loads(body)
            assert head.startswith(b"POST / ")
            assert request["method"] == "sendTransaction"
            assert base64.b64decode(request["params"][0]) == RAW
            assert request["params"][1] == {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
            assert len(times) == 1
            assert times[0] <= SystemClock().now_ns()
            assert sender.bytes_out == len(body)

    run(main())


def test_where_a_connection_is_ready_the_bytes_leave_within_the_call(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            await sender.send(RAW, ignore)  # its connection is ready from now on
            times: list[int] = []
            answer = sender.send(RAW, times.append)
            assert len(times) == 1
            node.got_request.clear()
            await node.got_request.wait()
            assert len(node.received) > 2 * len(RAW)
            await answer

    run(main())


def test_not_one_byte_leaves_when_the_gate_is_closed(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, gate, sender):
            await gate.stop("ada", "now")
            times: list[int] = []
            for _ in range(50):
                with pytest.raises(SendingStopped):
                    await sender.send(RAW, times.append)
            assert node.received == b""
            assert node.connections == 0
            assert times == []

    run(main())


def test_a_stop_between_the_check_and_the_write_keeps_every_byte_back_headers_included(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, gate, sender):
            times: list[int] = []
            # Let each send get one step of the loop further than the one before, and then stop.
            for steps in range(40):
                node.received.clear()
                running = gate.state.is_running or await gate.resume("bob", "again", gate.state.version)
                assert running
                out = asyncio.ensure_future(sender.send(RAW, times.append))
                for _ in range(steps):
                    await asyncio.sleep(0)
                times_before = len(times)
                await gate.stop("ada", "now")
                written = len(times)
                assert written - times_before <= 1
                results = await asyncio.gather(out, return_exceptions=True)
                assert len(times) == written, "bytes left after the stop was acknowledged"
                if written:
                    # Taken, or the stop cut the connection before the answer came.
                    assert results[0] is None or isinstance(results[0], RpcFailure)
                    return
                assert isinstance(results[0], SendingStopped)
                assert node.received == b""
            raise AssertionError("no send was ever written")

    run(main())


def test_of_many_sends_under_way_none_writes_after_the_stop(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, gate, sender):
            times: list[int] = []
            sends = [asyncio.ensure_future(sender.send(RAW, times.append)) for _ in range(200)]
            await node.got_request.wait()
            await gate.stop("ada", "now")
            written = len(times)
            results = await asyncio.gather(*sends, return_exceptions=True)
            assert 0 < written == len(times) < 200
            assert sum(result is None or isinstance(result, RpcFailure) for result in results) == written
            assert sum(isinstance(result, SendingStopped) for result in results) == 200 - written
            assert bytes(node.received).count(b"sendTransaction") <= written

    run(main())


def test_a_stop_waits_for_no_answer_of_a_node(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, gate, sender):
            node.may_answer.clear()
            out = asyncio.ensure_future(sender.send(RAW, ignore))
            await node.got_request.wait()
            async with asyncio.timeout(0.1):
                await gate.stop("ada", "now")
            received = len(node.received)
            node.may_answer.set()
            with pytest.raises(RpcFailure):  # its connection was cut, so the answer is not heard
                await out
            assert len(node.received) == received

    run(main())


def test_a_redirect_is_not_followed_with_the_transaction(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.status, node.headers = b"307 Temporary Redirect", b"Location: /elsewhere\r\n"
            with pytest.raises(RpcFailure):
                await sender.send(RAW, ignore)
            assert b"/elsewhere" not in node.received
            assert bytes(node.received).count(b"sendTransaction") == 1

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        b'{"error":{"code":-32005,"message":"Node is behind"}}',
        b'{"error":"rate limited"}',
        b'{"error":["a"]}',
        b'{"error":17}',
        b"",
        b"<html>busy</html>",
        b"[" * 50_000,
        b"\xff\xfe",
        b"null",
        b"17",
    ],
)
def test_whatever_a_node_answers_instead_of_a_signature_is_a_refusal(run, tmp_path, answer):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.answer = answer
            with pytest.raises(RpcFailure) as refusal:
                await sender.send(RAW, ignore)
            assert not refusal.value.is_timeout
            assert len(str(refusal.value)) < 300

    run(main())


@pytest.mark.parametrize("result", [b'"sig"', b"null", b"7", b'["%s"]' % str(Signature.default()).encode()])
def test_a_node_that_calls_our_transaction_another_one_is_not_believed(run, tmp_path, result):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.answer = b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}"
            times: list[int] = []
            with pytest.raises(LyingNode, match="took a transaction of ours for another one"):
                await sender.send(RAW, times.append)
            assert len(times) == 1  # the bytes are out all the same

    run(main())


def test_a_refusal_in_hostile_words_is_cleaned(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.answer = b'{"error":{"code":-32002,"message":"\\u001b[2Jbusy\\u0007\\u202e"}}'
            with pytest.raises(RpcFailure, match=r"^node error: busy$"):
                await sender.send(RAW, ignore)

    run(main())


def test_an_answer_that_comes_in_pieces_is_read_whole_and_the_connection_is_used_again(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.in_pieces = True
            for _ in range(3):
                await sender.send(RAW, ignore)
            assert node.connections == 1

    run(main())


def test_a_refusal_carries_the_nodes_own_words(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.answer = b'{"error":{"code":-32005,"message":"Node is behind by 42 slots"}}'
            with pytest.raises(RpcFailure, match="Node is behind by 42 slots"):
                await sender.send(RAW, ignore)

    run(main())


@pytest.mark.parametrize(
    "status", [b"429 Too Many Requests", b"500 Internal Server Error", b"204 No Content"]
)
def test_an_answer_that_is_not_200_is_a_refusal_whatever_it_holds(run, tmp_path, status):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.status, node.answer = status, b"" if status.startswith(b"204") else OK
            with pytest.raises(RpcFailure):
                await sender.send(RAW, ignore)

    run(main())


def test_an_endless_answer_is_cut_off(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            node.answer = b'{"result":"' + b"a" * 20_000_000 + b'"}'
            with pytest.raises(RpcFailure):
                await sender.send(RAW, ignore)

    run(main())


def test_silence_is_a_timeout_and_the_bytes_count_as_out(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path, deadline_s=0.2) as (node, _, sender):
            node.may_answer.clear()
            times: list[int] = []
            with pytest.raises(RpcFailure) as failure:
                await sender.send(RAW, times.append)
            assert failure.value.is_timeout
            assert len(times) == 1
            node.may_answer.set()

    run(main())


def test_a_connection_that_breaks_is_a_refusal_and_is_not_tried_again_by_itself(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (node, _, sender):
            await sender.send(RAW, ignore)
            node.answer = None
            with pytest.raises(RpcFailure):
                await sender.send(RAW, ignore)
            assert bytes(node.received).count(b"sendTransaction") == 2

    run(main())


def test_a_node_that_is_not_there_is_a_refusal_and_nothing_counts_as_out(run, tmp_path):
    async def main() -> None:
        async with sending(tmp_path) as (_, gate, _):
            times: list[int] = []
            there = [Plain("http://127.0.0.1:1")]
            async with Sender(lambda: there, gate, SystemClock(), 1.0, ready=0) as nowhere:
                with pytest.raises(RpcFailure):
                    await nowhere.send(RAW, times.append)
                assert times == []
                assert nowhere.bytes_out == 0

    run(main())
