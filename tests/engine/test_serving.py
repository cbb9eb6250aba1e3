"""The engine's surface: commands and pictures over a real unix socket, reads alone over TCP."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvloop

from engine.api import stream as stream_module
from engine.api.client import CommandRefused, EngineClient
from engine.api.server import ApiServer
from engine.chain.port import RpcFailure
from engine.domain import Side
from engine.errors import AddressInUse, EngineNotRunning
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind

ME = pwd.getpwuid(os.getuid()).pw_name


class Served:
    """A running engine with its listeners and one client."""

    def __init__(self, rig, server: ApiServer, path: Path, client: EngineClient) -> None:
        self.rig = rig
        self.server = server
        self.path = path
        self.client = client

    async def raw(self, request: bytes, *, end: bool = True) -> bytes:
        """Send bytes as they are and read the answer's."""
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(request)
        if end:
            writer.write_eof()
        try:
            async with asyncio.timeout(20):
                return await reader.read(65_536)
        finally:
            writer.close()

    async def post(self, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, dict]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.path))) as session,
            session.post(f"http://engine{path}", data=body, headers=headers) as response,
        ):
            return response.status, await response.json()


@pytest.fixture
async def served(rig, tmp_path) -> AsyncIterator[Served]:
    server = ApiServer(rig.parts.snapshots, rig.parts.commands)
    path = tmp_path / "engine.sock"
    await server.start(path, 0)
    async with EngineClient(path) as client:
        yield Served(rig, server, path, client)
    await server.close()


@pytest.fixture
async def audit(served):
    """The audit records so far."""

    async def read() -> list[dict]:
        await served.rig.parts.commands.settle_audits()
        return served.rig.recorded(OutboxKind.CONTROL)

    return read


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


async def test_a_viewer_that_does_not_read_is_dropped_and_the_others_go_on(served, monkeypatch, eventually):
    monkeypatch.setattr(stream_module, "WRITE_DEADLINE_S", 0.2)
    for _ in range(60):
        served.rig.open(collateral_e6=1_800 * 10**6)
    reader, writer = await asyncio.open_unix_connection(served.path, limit=1024)
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
    await eventually(lambda: not served.server._streams)
    await eventually(transport.is_closing)
    assert (await served.client.snapshot()).book.monitored == 60
    writer.close()
    del reader


# --- commands ---


async def test_stop_and_resume_over_the_socket_are_audited_with_the_callers_name(served, audit):
    stopped = await served.client.stop("looks wrong")
    assert stopped.gate.state == "stopped"
    assert (stopped.gate.by, stopped.gate.reason, stopped.gate.persisted) == (ME, "looks wrong", True)
    resumed = await served.client.resume("all well", stopped.gate.version)
    assert resumed.gate.state == "running"
    rows = [(row["actor"], row["command"], row["accepted"]) for row in await audit()]
    assert rows == [(ME, "emergency-stop", True), (ME, "resume", True)]


async def test_a_second_stop_says_who_was_first(served):
    await served.rig.parts.commands.stop("ada", "first")
    again = await served.client.stop("second")
    assert again.message.startswith("Already stopped by ada")
    assert (again.gate.by, again.gate.reason) == ("ada", "first")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'{"reason":5}',
        b'{"unknown":1}',
        b"\xff\x00",
        b'{"reason":"' + b"x" * 200_000 + b'"}',
    ],
)
async def test_a_stop_is_a_stop_whatever_its_body_says(served, body):
    status, answer = await served.post("/admin/emergency-stop", body)
    assert status == 200
    assert answer["gate"]["state"] == "stopped"
    assert not served.rig.gate.state.is_running


async def test_a_stop_does_not_wait_for_a_body_that_never_comes(served):
    request = b"POST /admin/emergency-stop HTTP/1.1\r\nHost: engine\r\nContent-Length: 50\r\n\r\n{"
    async with asyncio.timeout(1):
        answer = await served.raw(request, end=False)
    assert b"200 OK" in answer
    assert not served.rig.gate.state.is_running


async def test_a_stop_works_with_node_journal_and_prices_dead_in_under_100_ms(served, monkeypatch):
    rig = served.rig

    async def hang(_):
        await asyncio.Event().wait()

    monkeypatch.setattr(rig.journal, "record_control", hang)
    rig.chain.faults.failing["*"] = RpcFailure("timeout", is_timeout=True)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    answer = await served.client.stop("everything is dead")
    assert loop.time() - begun < 0.1
    assert answer.gate.state == "stopped"
    for task in rig.parts.commands._audits:
        task.cancel()


async def test_an_audit_that_cannot_be_written_keeps_no_command_from_its_effect(served, monkeypatch):
    async def refuse(_):
        raise JournalUnavailable("the disk is full")

    monkeypatch.setattr(served.rig.journal, "record_control", refuse)
    stopped = await served.client.stop("now")
    assert (await served.client.resume("go", stopped.gate.version)).gate.state == "running"


async def test_a_resume_wants_a_reason_and_the_version_that_the_operator_saw(served, audit):
    stopped = await served.client.stop("now")
    with pytest.raises(CommandRefused) as refusal:
        await served.client.resume("  ", stopped.gate.version)
    assert refusal.value.code == "reason_missing"
    with pytest.raises(CommandRefused) as refusal:
        await served.client.resume("go", stopped.gate.version - 1)
    assert refusal.value.code == "stale_version"
    assert not served.rig.gate.state.is_running
    assert [row["accepted"] for row in await audit()] == [True, False, False]


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (lambda rig: setattr(rig.parts.wallet, "balance_lamports", 99_999), "wallet"),
        (lambda rig: setattr(rig.parts.wallet, "balance_lamports", None), "wallet"),
        (lambda rig: rig.parts.phase.set("reconciling"), "reconciled"),
        (lambda rig: setattr(rig.parts.ingest, "_slot_seen_ns", -(10**11)), "node"),
    ],
)
async def test_a_required_check_that_fails_keeps_the_engine_stopped(served, broken, name):
    stopped = await served.client.stop("now")
    broken(served.rig)
    checks = {check.name: check.ok for check in await served.client.resume_checks()}
    assert not checks[name]
    with pytest.raises(CommandRefused, match=name) as refusal:
        await served.client.resume("go", stopped.gate.version)
    assert refusal.value.code == "checks_failed"
    assert not served.rig.gate.state.is_running


async def test_held_prices_are_told_and_keep_nobody_from_resuming(served):
    stopped = await served.client.stop("now")
    served.rig.price("ETH/USD", 3_000, conf=10**12)
    checks = {check.name: check for check in await served.client.resume_checks()}
    assert checks["prices"].detail == "ETH/USD wide confidence"
    assert (await served.client.resume("go", stopped.gate.version)).gate.state == "running"


async def test_a_standing_stop_is_forgotten_only_by_a_resume(served):
    rig = served.rig
    rig.standing_stop.write_text("{}")
    await rig.parts.commands.stop("operator", "the file exists")
    stopped = await served.client.stop("again")
    with pytest.raises(CommandRefused):
        await served.client.resume("go", stopped.gate.version + 7)
    assert rig.standing_stop.exists()
    await served.client.resume("go", stopped.gate.version)
    assert not rig.standing_stop.exists()


async def test_a_standing_stop_that_cannot_be_removed_refuses_the_resume(served):
    rig = served.rig
    rig.standing_stop.mkdir()
    stopped = await served.client.stop("now")
    with pytest.raises(CommandRefused) as refusal:
        await served.client.resume("go", stopped.gate.version)
    assert refusal.value.code == "not_persisted"
    assert not rig.gate.state.is_running


async def fail(rig):
    """A liquidation that is given up; returns the position."""
    rig.chain.faults.failing["accounts"] = RpcFailure("node error: busy")
    position = rig.open()
    rig.price("BTC/USD", 58_000)
    await rig.settle()
    await rig.clock.advance(2)
    await rig.settle()
    rig.chain.faults.failing.clear()
    return position


async def test_a_failed_liquidation_is_shown_and_tried_again_on_demand(served, audit):
    rig = served.rig
    position = await fail(rig)
    (row,) = (await served.client.snapshot()).failed
    assert (row.outcome, row.next_step) == ("node error", "retry; look at the node")
    answer = await served.client.retry(row.liquidation_id)
    assert answer.message == f"Queued {position.address} again"
    await rig.until(lambda: position.address not in rig.parts.queue)
    assert rig.outcomes()[-1].error_message is None
    assert (await served.client.snapshot()).failed == []
    assert [each["command"] for each in await audit()] == ["retry"]


async def test_a_retry_while_stopped_waits_and_says_so(served):
    await fail(served.rig)
    await served.client.stop("now")
    (row,) = (await served.client.snapshot()).failed
    answer = await served.client.retry(row.liquidation_id)
    assert answer.message.endswith("it waits until the engine is resumed")
    await served.rig.tick(10)
    assert served.rig.wire.sent == []


async def test_a_retry_of_what_is_healthy_or_gone_says_so(served):
    rig = served.rig
    position = await fail(rig)
    (row,) = (await served.client.snapshot()).failed
    rig.price("BTC/USD", 60_000)
    assert "not liquidatable" in (await served.client.retry(row.liquidation_id)).message
    rig.close(position.address)
    assert "closed" in (await served.client.retry(row.liquidation_id)).message
    assert (await served.client.snapshot()).failed == []


async def test_a_dismissed_failure_leaves_the_list_and_stays_in_the_record(served):
    await fail(served.rig)
    (row,) = (await served.client.snapshot()).failed
    await served.client.dismiss(row.liquidation_id)
    assert (await served.client.snapshot()).failed == []
    assert served.rig.recorded(OutboxKind.FAILED)[-1]["status"] == "dismissed"


@pytest.mark.parametrize("liquidation_id", ["0" * 12, "x", "a" * 64])
async def test_commands_on_ids_that_do_not_exist_are_refused(served, liquidation_id):
    for command in (served.client.retry, served.client.dismiss):
        with pytest.raises(CommandRefused) as refusal:
            await command(liquidation_id)
        assert refusal.value.code == "unknown_liquidation"


@pytest.mark.parametrize("liquidation_id", ["a" * 65, "..%2F..", "%0A", "a'b", "%1b%5b2J"])
async def test_ids_that_are_no_ids_are_refused(served, liquidation_id):
    with pytest.raises(CommandRefused) as refusal:
        await served.client.retry(liquidation_id)
    assert refusal.value.code == "bad_id"


async def test_clearing_drops_what_is_not_signed_and_the_next_price_brings_it_back(served):
    rig = served.rig
    await rig.gate.stop("ada", "hold")
    for _ in range(5):
        rig.open()
    rig.price("BTC/USD", 58_000)
    assert (await served.client.snapshot()).queue_length == 5
    assert (await served.client.clear_queue()).message.startswith("Cleared: 5 dropped")
    assert (await served.client.snapshot()).queue_length == 0
    rig.price("BTC/USD", 57_999)
    assert (await served.client.snapshot()).queue_length == 5


async def test_shutdown_asks_the_process_to_end(served, audit):
    await served.client.shutdown()
    assert served.rig.asked_to_end.is_set()
    assert [row["command"] for row in await audit()] == ["shutdown"]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b'{"reason":"x"}', 422),
        (b'{"reason":1,"gate_version":1}', 422),
        (b'{"reason":"x","gate_version":1,"force":true}', 422),
    ],
)
async def test_a_resume_with_a_bad_body_is_refused_in_one_shape(served, body, refused):
    await served.client.stop("now")
    status, answer = await served.post("/admin/resume", body, **{"Content-Type": "application/json"})
    assert status == refused
    assert answer["error"]["code"] == "bad_body"


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
