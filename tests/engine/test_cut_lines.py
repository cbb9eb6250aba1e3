"""A stop cuts the connections: nothing that waits in a busy loop or in the kernel leaves after it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from solders.signature import Signature

from engine.chain.port import LyingNode, RpcFailure
from engine.chain.sender import Sender
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState, SendingStopped

RAW = bytes(range(256)) * 4
AT_ONCE = 8
TAKEN = b'{"jsonrpc":"2.0","id":1,"result":"%s"}' % str(Signature.from_bytes(RAW[1:65])).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TAKEN) + TAKEN


class Socket:
    """A node in threads of its own, so that it takes bytes whatever the event loop does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received: list[tuple[int, bytes]] = []  # when, what
        self.reads = threading.Event()
        self.reads.set()
        self.got = threading.Event()
        self.answers = True
        self.ended: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def charge(self) -> None:
        """Nothing is limited here."""

    def failed(self, _: RpcFailure) -> None:
        """Nobody judges here."""

    def lied(self, what: str) -> RpcFailure:
        return LyingNode("a test's node", what)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while self.reads.wait():
                try:
                    data = connection.recv(65_536)
                except OSError as error:
                    self.ended.append(type(error).__name__)
                    return
                if not data:
                    self.ended.append("end")
                    return
                self.received.append((time.monotonic_ns(), data))
                self.got.set()
                if self.answers:
                    connection.sendall(ANSWER)


@pytest.fixture
def node() -> Iterator[Socket]:
    node = Socket()
    yield node
    node.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request) -> Callable:
    def run(work) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(work, 20))

    return run


def open_gate(tmp_path: Path) -> Gate:
    first = GateState(1, RUNNING, "engine", 0, "first start")
    return Gate.load(tmp_path / "gate.json", SystemClock(), first_start=first, has_history=False)


def test_a_write_that_the_gate_let_pass_before_the_stop_does_not_leave_after_it(
    run, tmp_path, node, eventually
):
    """The stop comes from a thread, right between the last check and its write, while earlier writes wait."""

    async def main() -> None:
        gate = open_gate(tmp_path)
        passed, stopped_at = 0, 0

        def stop_before_the_last_write(_: int) -> None:
            nonlocal passed, stopped_at
            passed += 1
            if passed == AT_ONCE:
                stopper = threading.Thread(target=gate.shut, args=("ada", "now"))
                stopper.start()
                stopper.join()
                stopped_at = time.monotonic_ns()
                time.sleep(0.05)  # what had left before has arrived when the loop goes on

        async with Sender(lambda: [node], gate, SystemClock(), 5.0) as sender:
            # The connections are there, so that the writes of one turn come one right after the other.
            await asyncio.gather(*(sender.send(RAW, lambda _: None) for _ in range(AT_ONCE)))
            node.received.clear()
            sends = [sender.send(RAW, stop_before_the_last_write) for _ in range(AT_ONCE)]
            await asyncio.gather(*sends, return_exceptions=True)
            await eventually(lambda: len(node.ended) >= AT_ONCE)
        assert stopped_at
        assert not [at for at, _ in node.received if at > stopped_at + 40_000_000]

    run(main())


def test_bytes_that_wait_in_the_kernel_for_a_node_that_does_not_read_are_dropped(
    run, tmp_path, node, eventually
):
    async def main() -> None:
        gate = open_gate(tmp_path)
        node.answers = False
        node.reads.clear()
        written: list[int] = []
        async with Sender(lambda: [node], gate, SystemClock(), 5.0) as sender:
            large = RAW * 4_000  # more than the buffers of both sides hold
            out = asyncio.ensure_future(sender.send(large, written.append))
            await eventually(lambda: written)
            await gate.stop("ada", "now")
            with pytest.raises((RpcFailure, SendingStopped)):
                await out
            node.reads.set()
            await eventually(lambda: node.ended)
        assert sum(len(data) for _, data in node.received) < len(large)

    run(main())


def test_after_a_resume_new_connections_carry_transactions_again_and_can_be_cut_again(
    run, tmp_path, node, eventually
):
    async def main() -> None:
        gate = open_gate(tmp_path)
        async with Sender(lambda: [node], gate, SystemClock(), 5.0) as sender:
            for _ in range(3):
                await sender.send(RAW, lambda _: None)
                stopped = await gate.stop("ada", "now")
                with pytest.raises(SendingStopped):
                    await sender.send(RAW, lambda _: None)
                await gate.resume("ada", "on", stopped.version)
        await eventually(lambda: len(node.ended) >= 3)

    run(main())
