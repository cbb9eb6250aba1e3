"""The operator's commands over a real unix socket: each has its effect, its audit and its refusals."""

from __future__ import annotations

import asyncio

import pytest
from listening import ME

from engine.api.client import CommandRefused
from engine.chain.port import RpcFailure
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind

DISK_S = 30.0


async def test_stop_and_resume_over_the_socket_are_audited_with_the_callers_name(served, audit):
    stopped = await served.client.stop("looks wrong")
    assert stopped.gate.state == "stopped"
    assert (stopped.gate.by, stopped.gate.reason) == (ME, "looks wrong")
    gate = served.rig.parts.gate
    writing = gate.begin_to_persist()
    if writing is not None:  # the answer waits 80 ms for the disk, which others may keep busy for longer
        await asyncio.wait_for(asyncio.wrap_future(writing), DISK_S)
    assert gate.is_persisted
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


async def test_a_failed_liquidation_is_shown_and_tried_again_on_demand(served, audit):
    rig = served.rig
    position, _ = await rig.given_up()
    (row,) = (await served.client.snapshot()).failed
    assert (row.outcome, row.next_step) == ("node error", "retry; look at the node")
    answer = await served.client.retry(row.liquidation_id)
    assert answer.message == f"Queued {position.address} again"
    await rig.until(lambda: position.address not in rig.parts.queue)
    assert rig.outcomes()[-1].error_message is None
    assert (await served.client.snapshot()).failed == []
    assert [each["command"] for each in await audit()] == ["retry"]


async def test_a_retry_while_stopped_waits_and_says_so(served):
    await served.rig.given_up()
    await served.client.stop("now")
    (row,) = (await served.client.snapshot()).failed
    answer = await served.client.retry(row.liquidation_id)
    assert answer.message.endswith("it waits until the engine is resumed")
    await served.rig.tick(10)
    assert served.rig.wire.sent == []


async def test_a_retry_of_what_is_healthy_or_gone_says_so(served):
    rig = served.rig
    position, _ = await rig.given_up()
    (row,) = (await served.client.snapshot()).failed
    rig.price("BTC/USD", 60_000)
    assert "not liquidatable" in (await served.client.retry(row.liquidation_id)).message
    rig.close(position.address)
    assert "closed" in (await served.client.retry(row.liquidation_id)).message
    assert (await served.client.snapshot()).failed == []


async def test_a_dismissed_failure_leaves_the_list_and_stays_in_the_record(served):
    await served.rig.given_up()
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
