"""The node's HTTP side by raw bytes: who is slow, too big or too many, and who waits for whom."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from engine.sandbox.cluster import Genesis, Ledger, serve
from engine.sandbox.cluster.ledger.view import View
from engine.sandbox.cluster.rpc.jsonrpc import Dispatcher, Pieces
from engine.sandbox.cluster.rpc.params import Params
from engine.sandbox.cluster.serving.connections import Connections
from engine.sandbox.cluster.serving.http_server import HttpService
from engine.sandbox.cluster.serving.interference import Interference, NoInterference, Push, Respond

if TYPE_CHECKING:
    from conftest import Node

SOL = 1_000_000_000
HEALTH = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
OK = b'{"jsonrpc":"2.0","result":"ok","id":1}\n'
TYPED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BIG_PIECES = 400


def request(body: bytes = HEALTH, head: bytes = TYPED) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def status_and_body(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return int(head.split()[1]), await reader.readexactly(length)


async def exchange(node: Node, raw: bytes) -> tuple[int, bytes]:
    """The first response to raw bytes on a new connection."""
    reader, writer = await connect(node.server.rpc_url)
    writer.write(raw)
    answer = await status_and_body(reader)
    writer.close()
    return answer


# --- refusals ---


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (request(b"\xff\xfe"), 400, b"utf-8 encoding error at byte 0 in request body"),
        (request(b'{"a":"\xc3"}'), 400, b"utf-8 encoding error at byte 6 in request body"),
        (request(b" " * 60_000), 413, b"request body size exceeds allowed maximum"),
        (TYPED + b"Content-Length: 99999999999\r\n\r\n", 413, b"request body size exceeds allowed maximum"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/json\r\nContent-Length: 0\r\n\r\n",
            415,
            b"Supplied content type is not allowed. Content-Type: application/json is required\n",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            415,
            b"Supplied content type is not allowed. Content-Type: application/json is required\n",
        ),
        (
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            405,
            b"Used HTTP Method is not allowed. POST or OPTIONS is required\n",
        ),
    ],
)
async def test_what_cannot_be_a_request_is_refused_in_a_nodes_words(
    node: Node, raw: bytes, status: int, body: bytes
) -> None:
    assert await exchange(node, raw) == (status, body)


async def test_a_head_that_is_too_long_is_refused_and_a_long_one_is_read(node: Node) -> None:
    fits = request(head=TYPED + b"X: " + b"y" * 30_000 + b"\r\n")
    assert await exchange(node, fits) == (200, OK)
    status, _ = await exchange(node, request(head=TYPED + b"X: " + b"y" * 70_000 + b"\r\n"))
    assert status == 431


async def test_a_compressed_body_is_read_as_it_came(node: Node) -> None:
    # As on a node: nobody can blow up a small body into a big one here.
    packed = request(gzip.compress(HEALTH), TYPED + b"Content-Encoding: gzip\r\n")
    assert (await exchange(node, packed))[0] == 400


async def test_content_types_with_a_charset_are_json_too(node: Node) -> None:
    for name in (b"application/json; charset=utf-8", b"Application/JSON"):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: " + name + b"\r\n"
        assert await exchange(node, request(head=head)) == (200, OK)


# --- connections ---


async def test_one_connection_serves_pipelined_requests_in_order(node: Node) -> None:
    reader, writer = await connect(node.server.rpc_url)
    bodies = [HEALTH.replace(b'"id":1', b'"id":%d' % number) for number in range(50)]
    writer.write(b"".join(request(body) for body in bodies))
    ids = [json.loads((await status_and_body(reader))[1])["id"] for _ in bodies]
    assert ids == list(range(50))
    writer.close()


class Stand:
    """A service with short deadlines on a port of its own."""

    def __init__(self, url: str, connections: Connections) -> None:
        self.url = url
        self.connections = connections


@asynccontextmanager
async def stand(
    methods: dict[str, Callable[[Params], object]],
    *,
    interference: Interference | None = None,
    **limits: Any,
) -> AsyncIterator[Stand]:
    service = HttpService(
        Dispatcher(methods),
        interference or NoInterference(),
        lambda: "ok",
        body_deadline_s=0.05,
        write_deadline_s=0.2,
    )
    connections = Connections(service.handle, **limits)
    runner = web.ServerRunner(connections, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    yield Stand(f"http://127.0.0.1:{port}", connections)
    await runner.cleanup()


def healthy(_params: Params) -> object:
    return "ok"


async def test_a_body_that_does_not_come_is_given_up(node: Node) -> None:
    async with stand({"getHealth": healthy}) as served:
        reader, writer = await connect(served.url)
        writer.write(TYPED + b"Content-Length: 20\r\n\r\n{")
        assert (await status_and_body(reader))[0] == 408
        assert await reader.read() == b""
        writer.close()


async def test_a_head_that_does_not_come_is_given_up() -> None:
    async with stand({"getHealth": healthy}, idle_deadline_s=0.05) as served:
        reader, writer = await connect(served.url)
        writer.write(b"POST / HT")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_connections_beyond_the_limit_are_closed_and_make_room_when_others_go() -> None:
    async with stand({"getHealth": healthy}, most=2) as served:
        pairs = [await connect(served.url) for _ in range(2)]
        for reader, writer in pairs:
            writer.write(request())
            assert await status_and_body(reader) == (200, OK)
        reader, writer = await connect(served.url)
        writer.write(request())
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await status_and_body(reader)
        assert served.connections.refused == 1
        pairs[0][1].close()
        async with asyncio.timeout(20):
            while True:
                reader, writer = await connect(served.url)
                writer.write(request())
                try:
                    assert await status_and_body(reader) == (200, OK)
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.01)
        for _, open_writer in [*pairs, (reader, writer)]:
            open_writer.close()


async def test_who_takes_nothing_of_his_answers_is_cut_off(eventually: Any) -> None:
    answer = "x" * 200_000
    async with stand({"getHealth": lambda _params: answer}, stuck_deadline_s=0.1) as served:
        reader, writer = await connect(served.url)
        reader._limit = 1024  # type: ignore[attr-defined]
        writer.write(request() * 40)
        with capture_logs() as logged:
            await eventually(lambda: served.connections.cut_off == 1)
        assert logged[0]["event"] == "client reads nothing: cut off"
        writer.close()


async def test_who_reads_slowly_of_a_long_answer_is_cut_off(eventually: Any) -> None:
    taken = []

    def pieces() -> Iterator[bytes]:
        yield b"["
        for number in range(BIG_PIECES):
            taken.append(number)
            yield b'"%b",' % (b"x" * 400_000)
        yield b"0]"

    async with stand({"long": lambda _params: Pieces(pieces())}) as served:
        reader, writer = await connect(served.url)
        reader._limit = 1024  # type: ignore[attr-defined]
        with capture_logs() as logged:
            writer.write(request(b'{"jsonrpc":"2.0","id":1,"method":"long"}'))
            await eventually(lambda: bool(logged))
        assert logged[0]["event"] == "client reads too slowly: cut off"
        # Only as much was made as buffers hold.
        assert len(taken) < BIG_PIECES / 4
        writer.close()


async def test_an_answer_that_breaks_off_ends_the_connection_and_is_no_whole_json() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'["%b",' % (b"x" * 300_000)
        raise RuntimeError("a fault of this node")

    async with stand({"long": lambda _params: Pieces(pieces())}) as served, aiohttp.ClientSession() as http:
        with capture_logs() as logged, pytest.raises(aiohttp.ClientError):
            call = {"jsonrpc": "2.0", "id": 1, "method": "long"}
            async with http.post(served.url, json=call) as response:
                await response.read()
        assert [entry["event"] for entry in logged] == ["answer broke off"]


@asynccontextmanager
async def _caller(served: Stand) -> AsyncIterator[Callable[[str], Coroutine[Any, Any, Any]]]:
    async with aiohttp.ClientSession() as http:

        async def call(method: str) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method}
            async with http.post(served.url, json=body) as response:
                return (await response.json())["result"]

        yield call


async def test_others_are_answered_while_a_long_answer_is_made() -> None:
    order: list[str] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.002)
            yield b""
        order.append("long")
        yield b"1"

    def short(_params: Params) -> object:
        order.append("short")
        return "ok"

    async with stand({"long": lambda _: Pieces(pieces()), "short": short}) as served, _caller(served) as call:
        long = asyncio.create_task(call("long"))
        answers = [await call("short") for _ in range(5)]
        assert not long.done()
        assert await long == 1
    assert answers == ["ok"] * 5
    assert order == ["short"] * 5 + ["long"]


class Twice:
    """Has every request answered twice, and returns the second answer."""

    async def around(
        self, _request: web.BaseRequest, _methods: Sequence[str], respond: Respond
    ) -> web.StreamResponse:
        await respond()
        return await respond()

    def notifications(self, push: Push) -> Push:
        return push


async def test_an_answer_made_twice_is_on_its_connection_once_however_long() -> None:
    made: list[str] = []

    def answer(size: int) -> Pieces:
        made.append("answer")
        return Pieces([b'"%b' % (b"x" * size), b'y"'])

    methods = {"short": lambda _: answer(10), "long": lambda _: answer(500_000)}
    async with stand(methods, interference=Twice()) as served, _caller(served) as call:
        for method, size in (("long", 500_000), ("short", 10), ("long", 500_000)):
            assert len(await call(method)) == size + 1
    assert len(made) == 6


# --- health, and what a node answers by whole responses ---


async def test_health_by_get_says_ok_behind_or_unknown(node: Node) -> None:
    async def health() -> tuple[int, str]:
        async with node.http.get(node.server.rpc_url + "/health") as response:
            return response.status, await response.text()

    assert await health() == (200, "ok")
    node.ledger.halted = True
    assert await health() == (200, "unknown")


async def test_health_by_get_is_behind_when_the_view_is() -> None:
    ledger = Ledger(Genesis.from_seed(b"behind"), lambda: 1.0)
    view = View(ledger)
    server = await serve(ledger, view=view, rpc_port=0, ws_port=0, slot_ms=3_600_000)
    view.lag(140)
    for _ in range(150):
        ledger.advance_slot()
    async with aiohttp.ClientSession() as http, http.get(server.rpc_url + "/health") as response:
        assert await response.text() == "behind"
    await server.close()


async def test_a_program_of_many_accounts_comes_whole_and_in_slices(node: Node, program_id: Pubkey) -> None:
    for number in range(3_000):
        address = Pubkey.from_bytes(number.to_bytes(32, "little"))
        node.town.plant(address, SOL, number.to_bytes(120, "little"), program_id)
    call = {"jsonrpc": "2.0", "id": 5, "method": "getProgramAccounts"}
    call["params"] = [str(program_id), {"encoding": "base64", "commitment": "processed"}]
    async with node.http.post(node.server.rpc_url, json=call) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        body = await response.read()
    answer = json.loads(body)
    assert (answer["id"], len(answer["result"])) == (5, 3_000)
    # In a batch, too, and beside others.
    async with node.http.post(node.server.rpc_url, json=[call, call, {**call, "params": []}]) as response:
        first, second, third = await response.json()
    assert first == second == answer
    assert third["error"]["code"] == -32602
    # A short one is an ordinary response.
    call["params"] = [str(program_id), {"filters": [{"dataSize": 7}]}]
    async with node.http.post(node.server.rpc_url, json=call) as response:
        assert int(response.headers["Content-Length"]) == len(await response.read())
