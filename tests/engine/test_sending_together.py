"""Several transactions leave right behind each other, and the gate is asked before each of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from test_sender import Plain, ignore

from engine.chain.parcel import Parcel
from engine.chain.port import NoLongerWanted, RpcFailure
from engine.chain.sender import Sender
from engine.clock import SystemClock
from engine.control import RUNNING, Gate, GateState, SendingStopped

COUNT = 5


def raw_of(number: int) -> bytes:
    return b"\x01" + bytes([number]) * 64 + b"message"


class Silent:
    """A node that takes connections and answers nothing."""

    def __init__(self) -> None:
        self.requests = 0
        self.all_here = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b'"maxRetries":0}]}'):
            self.requests += 1
            if self.requests == COUNT:
                self.all_here.set()


@asynccontextmanager
async def ready_sender(tmp_path: Path):
    """A sender with a connection for each that is open already."""
    node = Silent()
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    first = GateState(1, RUNNING, "engine", 0, "first start")
    gate = Gate.load(tmp_path / "gate.json", SystemClock(), first_start=first, has_history=False)
    async with Sender(lambda: [Plain(url)], gate, SystemClock(), 30.0, ready=COUNT) as sender:
        async with asyncio.timeout(30):
            while True:
                if url in sender._nodes and sender._nodes[url].idle == COUNT:
                    break
                await asyncio.sleep(0.005)
        yield node, gate, sender, sender._nodes[url]
    server.close()


async def test_all_of_them_leave_within_the_call(tmp_path):
    async with ready_sender(tmp_path) as (node, _, sender, line):
        times: list[int] = []
        sender.send_together([Parcel(raw_of(n), times.append, lambda: True) for n in range(COUNT)])
        assert len(times) == COUNT
        assert line.idle == 0
        async with asyncio.timeout(30):
            await node.all_here.wait()


async def test_a_stop_between_two_of_them_keeps_the_rest_and_gives_their_connections_back(tmp_path):
    async with ready_sender(tmp_path) as (_, gate, sender, line):
        times: list[int] = []

        def stop_behind_the_second(at_ns: int) -> None:
            times.append(at_ns)
            if len(times) == 2:
                # As another thread would, in the middle of the writes; the lines stay, to be counted.
                gate._listeners.clear()
                gate.shut("ada", "now")

        parcels = [Parcel(raw_of(n), stop_behind_the_second, lambda: True) for n in range(COUNT)]
        answers = sender.send_together(parcels)
        assert len(times) == 2, "the second was under way when the gate closed, no other"
        assert line.idle == COUNT - 2
        for answer in answers[2:]:
            with pytest.raises(SendingStopped):
                await answer


async def test_what_is_not_wanted_any_more_takes_no_connection_and_no_time(tmp_path):
    async with ready_sender(tmp_path) as (_, _, sender, line):
        times: list[int] = []
        wanted = [True, False, True, False, False]
        answers = sender.send_together(
            [Parcel(raw_of(n), times.append, wanted[n].__bool__) for n in range(COUNT)]
        )
        assert len(times) == 2
        assert line.idle == COUNT - 2
        for number in (1, 3, 4):
            with pytest.raises(NoLongerWanted):
                await answers[number]


async def test_without_a_node_or_with_a_closed_gate_each_of_them_hears_why(tmp_path):
    first = GateState(1, RUNNING, "engine", 0, "first start")
    gate = Gate.load(tmp_path / "gate.json", SystemClock(), first_start=first, has_history=False)
    sender = Sender(list, gate, SystemClock(), 30.0)
    parcels = [Parcel(raw_of(n), ignore, lambda: True) for n in range(2)]
    for answer in sender.send_together(parcels):
        with pytest.raises(RpcFailure, match="no node is fit"):
            await answer
    await gate.stop("ada", "now")
    for answer in sender.send_together(parcels):
        with pytest.raises(SendingStopped):
            await answer
