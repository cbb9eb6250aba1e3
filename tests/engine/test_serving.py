"""The engine's surface: pictures over a real unix socket, reads alone over TCP, and who may listen where."""

from __future__ import annotations

import asyncio
import json
import socket

import aiohttp
import pytest
import uvloop
from listening import ME

from engine.api import stream as stream_module
from engine.api.client import CommandRefused, EngineClient
from engine.api.server import ApiServer
from engine.domain import Side
from engine.errors import AddressInUse, EngineNotRunning

# --- pictures ---


async def test_a_snapshot_shows_the_engine_as_it_is(served):
    rig = served.rig
    rig.open()
    rig.open(symbol="DOGE/USD")
    rig.price("BTC/USD", 58_800)
    snapshot = await served.client.snapshot()
    book = snapshot.book
    assert (book.monitored, book.at_risk, book.unknown, book.liquidatable) == (2, 1, 1, 0)
    assert snapshot.engine.phase == "ready"
    assert snapshot.gate.state == "running"
    assert snapshot.wallet.balance_lamports == 10 * 10**9
    assert snapshot.fund.balance_lamports == 1000 * 10**9
    assert {row.symbol: row.verdict for row in snapshot.prices}["BTC/USD"] == "ok"
    assert [row.band for row in snapshot.at_risk] == ["at risk"]


async def test_hostile_positions_at_the_ends_of_every_range_break_no_picture(served):
    rig = served.rig
    top = 2**64 - 1
    for size, entry, collateral in ((top, top, 1), (top, 10**9, 1), (1, 0, top), (1, top, 0)):
        for side in Side:
            rig.open(size_e6=size, entry_price_e6=entry, collateral_e6=collateral, leverage=1000, side=side)
    rig.open(symbol="D\u0336\u0336\u0336\u0336/USD")
    await rig.gate.stop("ada", "look at it")
    rig.price("BTC/USD", 60_001)
    snapshot = await served.client.snapshot()
    assert snapshot.book.monitored == 9
    for address in rig.parts.holdings.book.addresses():
        detail = await served.client.position(str(address))
        assert detail.row.symbol.isprintable()
        assert detail.row.symbol.count("\u0336") <= 2


async def test_a_position_in_detail_shows_its_attempts_and_their_inputs(served):
    rig = served.rig
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: position.address not in rig.parts.queue)
    detail = await served.client.position(str(position.address))
    (attempt,) = detail.attempts
    assert attempt.outcome == "confirmed"
    assert json.loads(attempt.decision_json)["position"]["size_e6"] == "1000000"


async def test_an_unknown_position_and_a_bad_address_are_refused(served):
    with pytest.raises(CommandRefused, match="No position is held"):
        await served.client.position("11111111111111111111111111111112")
    for address in ("x", "0OIl", "1" * 500, "%00", "%F0%9F%92%A9"):
        with pytest.raises(CommandRefused) as refusal:
            await served.client.position(address)
        assert refusal.value.code in ("bad_address", "unknown_position")


async def test_a_stream_brings_one_picture_after_the_other(served):
    numbers = []
    async for snapshot in served.client.stream(100):
        numbers.append(snapshot.seq)
        if len(numbers) == 3:
            break
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("interval", ["0", "99", "60001", "x", "-5", "1e3", "9" * 5000, ""])
async def test_an_interval_out_of_range_is_refused(served, interval):
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(served.path))) as session,
        session.get(f"http://engine/stream?interval_ms={interval}") as response,
    ):
        assert response.status == 400


async def watched_by_nobody(served, eventually) -> tuple[asyncio.StreamWriter, asyncio.Transport]:
    """A viewer that does not read, with the engine's end of its connection, in which hardly anything fits."""
    for _ in range(60):
        served.rig.open(collateral_e6=1_800 * 10**6)
    _, writer = await asyncio.open_unix_connection(served.path, limit=1024)
    writer.transport.pause_reading()
    writer.write(
        b"GET /stream?interval_ms=100 HTTP/1.1\r\nHost: engine\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await eventually(lambda: len(served.server._streams) == 1)
    (stream,) = served.server._streams._open
    transport = stream._req.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    transport.set_write_buffer_limits(high=4096)
    return writer, transport


async def test_a_viewer_that_does_not_read_is_dropped_and_the_others_go_on(served, monkeypatch, eventually):
    monkeypatch.setattr(stream_module, "WRITE_DEADLINE_S", 0.2)
    writer, transport = await watched_by_nobody(served, eventually)
    await eventually(lambda: not served.server._streams)
    await eventually(transport.is_closing)
    assert (await served.client.snapshot()).book.monitored == 60
    writer.close()


async def test_a_viewer_that_is_dropped_while_it_is_told_of_the_end_does_not_break_it(
    served, monkeypatch, eventually
):
    monkeypatch.setattr(stream_module, "WRITE_DEADLINE_S", 0.5)
    writer, _ = await watched_by_nobody(served, eventually)
    (stream,) = served.server._streams._open
    # Its picture waits for room, as the goodbye will.
    await eventually(lambda: stream._req.protocol._drain_waiter is not None)
    await served.server._streams.close()
    await eventually(lambda: not served.server._streams)
    writer.close()


async def test_paths_and_methods_that_do_not_exist_are_refused_in_the_same_shape(served):
    status, answer = await served.post("/admin/nothing")
    assert (status, answer["error"]["code"]) == (404, "not_found")
    status, answer = await served.post("/snapshot")
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")


async def test_a_fault_of_ours_is_told_without_its_insides(served, monkeypatch):
    monkeypatch.setattr(served.rig.parts.snapshots, "take", lambda: {}["secret"])
    with pytest.raises(CommandRefused) as refusal:
        await served.client.snapshot()
    assert refusal.value.code == "internal_error"
    assert "secret" not in str(refusal.value)


# --- listening ---


async def test_tcp_has_the_guides_reads_and_refuses_every_command(served):
    base = f"http://127.0.0.1:{served.server.port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/health") as response:
            assert await response.json() == {"status": "ok"}
        async with session.get(f"{base}/insurance/balance") as response:
            assert (await response.json())["balance"] == 1000 * 10**9
        for command in ("resume", "retry/x", "shutdown", "clear-queue"):
            async with session.post(f"{base}/admin/{command}") as response:
                assert response.status == 401
                assert (await response.json())["error"]["code"] == "token_missing"
        for method in ("GET", "PUT", "DELETE"):
            async with session.request(method, f"{base}/admin/resume") as response:
                assert response.status == 405
        for path in ("/snapshot", "/stream"):
            async with session.get(base + path) as response:
                assert response.status == 404
    assert served.rig.gate.state.is_running


async def test_the_socket_is_for_this_user_alone(served):
    assert served.path.stat().st_mode & 0o077 == 0


async def test_a_second_engine_on_the_socket_is_told_to_attach(served):
    other = ApiServer(served.rig.parts.snapshots, served.rig.parts.commands)
    with pytest.raises(AddressInUse, match=r"An engine already runs on .*attach"):
        await other.start(served.path, 0)
    assert (await served.client.snapshot()).seq


async def test_a_port_that_is_taken_is_told_with_its_setting(served, tmp_path):
    other = ApiServer(served.rig.parts.snapshots, served.rig.parts.commands)
    with pytest.raises(AddressInUse, match="Address already in use: set SERVER_PORT"):
        await other.start(tmp_path / "other.sock", served.server.port)
    await other.close()


async def test_a_socket_that_nobody_serves_any_more_is_taken_over(rig, tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = ApiServer(rig.parts.snapshots, rig.parts.commands)
    await server.start(path, 0)
    async with EngineClient(path) as client:
        assert (await client.snapshot()).seq
    await server.close()


async def test_the_socket_of_an_engine_that_hangs_is_not_taken_from_it(rig, tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen(0)
        fillers = []
        for _ in range(3):
            fillers.append(socket.socket(socket.AF_UNIX))
            fillers[-1].setblocking(False)
            fillers[-1].connect_ex(str(path))
        server = ApiServer(rig.parts.snapshots, rig.parts.commands)
        with pytest.raises(AddressInUse):
            await server.start(path, 0)
        assert path.exists()
        for filler in fillers:
            filler.close()
    await server.close()


async def test_without_an_engine_the_client_says_so(tmp_path):
    async with EngineClient(tmp_path / "nobody.sock") as client:
        with pytest.raises(EngineNotRunning):
            await client.snapshot()


def test_the_callers_name_comes_from_the_kernel_under_uvloop_too(tmp_path, records):
    from rig import Rig

    async def main() -> None:
        rig = Rig(tmp_path)
        rig.boot()
        await rig.start()
        server = ApiServer(rig.parts.snapshots, rig.parts.commands)
        await server.start(tmp_path / "engine.sock", 0)
        async with EngineClient(tmp_path / "engine.sock") as client:
            assert (await client.stop("now")).gate.by == ME
        await server.close()
        await rig.kill()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))
