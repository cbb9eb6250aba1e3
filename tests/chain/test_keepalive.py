"""Connections that are open ahead of need: used again, bounded, over TLS too, written to at once or never."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop

import engine.chain.keepalive as keepalive_module
from engine.chain.keepalive import NodeConnections, NotAnswered, _request_head

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LONGEST = 1000


class Server:
    """Answers each request that ends with `}`; counts connections and what came. Each releases `came`."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""
        self.came = asyncio.Semaphore(0)
        self.answer = ANSWER
        self.greeting = b""
        self.reads = True
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            writer.write(self.greeting)
            while self.reads and (data := await reader.read(65_536)):
                self.received += data
                if data.endswith(b"}"):
                    self.came.release()
                    await self.may_answer.wait()
                    writer.write(self.answer)
            if not self.reads:
                await self.may_answer.wait()
        except ConnectionError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()


def connections_to(server: Server, *, most: int = 8, scheme: str = "http") -> NodeConnections:
    return NodeConnections(f"{scheme}://localhost:{server.port}/", most=most, writes_at_once=True)


async def ask(connections: NodeConnections) -> bytes:
    connection = await connections.acquire()
    return (await connection.post(connections.request(b"{}"), LONGEST)).body


async def test_a_connection_is_used_again_newest_first_and_several_only_when_needed():
    async with serving() as server:
        connections = connections_to(server)
        for _ in range(5):
            assert await ask(connections) == b"{}"
        assert server.connections == 1
        assert await asyncio.gather(*(ask(connections) for _ in range(4))) == [b"{}"] * 4
        assert server.connections == 4
        assert connections.idle == 4
        connections.close()
        assert connections.idle == 0


async def test_no_more_are_open_than_may_be_and_whoever_waits_gets_the_next_free_one():
    async with serving() as server:
        connections = connections_to(server, most=2)
        assert await asyncio.gather(*(ask(connections) for _ in range(20))) == [b"{}"] * 20
        assert server.connections == 2
        server.may_answer.clear()
        server.came = asyncio.Semaphore(0)
        held = [asyncio.create_task(ask(connections)) for _ in range(2)]
        waiting = [asyncio.create_task(ask(connections)) for _ in range(2)]
        async with asyncio.timeout(20):
            for _ in held:
                await server.came.acquire()
        waiting[0].cancel()
        server.may_answer.set()
        assert await asyncio.gather(*held, waiting[1]) == [b"{}"] * 3
        connections.close()


async def test_one_that_breaks_makes_room_for_another():
    async with serving() as server:
        connections = connections_to(server, most=1)
        server.answer = b"nonsense\r\n\r\n"
        with pytest.raises(NotAnswered):
            await ask(connections)
        server.answer = ANSWER
        assert await ask(connections) == b"{}"
        assert server.connections == 2
        connections.close()


async def test_what_a_silent_connection_is_forgotten_for_is_not_waited_for(monkeypatch):
    async with serving() as server:
        connections = connections_to(server)
        await ask(connections)
        monkeypatch.setattr(keepalive_module, "IDLE_S", 0.0)
        assert connections.take() is None
        connections.retire()
        await ask(connections)
        assert server.connections == 2
        connections.close()


async def test_a_node_that_speaks_before_it_is_asked_is_hung_up_on():
    async with serving() as server:
        server.greeting = ANSWER
        connections = connections_to(server)
        connection = await connections.acquire()
        async with asyncio.timeout(20):
            while True:
                if not connection.is_open:
                    break
                await asyncio.sleep(0.005)
        with pytest.raises(NotAnswered):
            connection.post(connections.request(b"{}"), LONGEST)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_the_socket_does_not_take_at_once_never_leaves(factory):
    async def main() -> None:
        async with serving() as server:
            server.reads = False
            server.may_answer.clear()
            connections = connections_to(server)
            connection = await connections.acquire()
            with pytest.raises(NotAnswered, match="does not read"):
                connection.post(connections.request(b"x" * 50_000_000), LONGEST)
            assert not connection.is_open
            server.may_answer.set()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main(), 20))


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch) -> ssl.SSLContext:
    """A server's context; the engine trusts its certificate, as it does the system's."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the Debian package openssl")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file]
    subprocess.run([*making, *names], check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return context


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_over_tls_it_is_the_same_and_the_bytes_have_left_when_post_returns(factory, certificate):
    async def main() -> None:
        async with serving(certificate) as server:
            connections = connections_to(server, scheme="https")
            for _ in range(3):
                assert await ask(connections) == b"{}"
            assert server.connections == 1
            connection = await connections.acquire()
            waiter = connection.post(connections.request(b"{}"), LONGEST)
            below = connection._socket_transport
            assert below is not None
            assert below.get_write_buffer_size() == 0
            assert (await waiter).status == 200
            connections.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main(), 20))


async def test_a_certificate_of_nobody_we_trust_is_refused(certificate, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    async with serving(certificate) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connections_to(server, scheme="https").acquire()
        assert server.received == b""


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        ("http://node.example", [b"POST / HTTP/1.1", b"Host: node.example"]),
        (
            "https://node.example:8899/rpc?key=a%20b",
            [b"POST /rpc?key=a%20b HTTP/1.1", b"Host: node.example:8899"],
        ),
        ("http://[::1]:80/", [b"Host: [::1]"]),
        (
            "https://ada:s%40cret@node.example/",
            [b"Host: node.example", b"Authorization: Basic YWRhOnNAY3JldA=="],
        ),
        (
            "http://knoten.österreich.example/ä",
            [b"POST /%C3%A4 HTTP/1.1", b"Host: knoten.xn--sterreich-z7a.example"],
        ),
    ],
)
def test_the_head_of_a_request_names_host_path_and_credentials_as_http_wants_them(url, lines):
    head = _request_head(urlsplit(url)).split(b"\r\n")
    assert set(lines) <= set(head)
    assert head[-1] == b"Content-Length: "
