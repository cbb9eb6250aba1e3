"""Every administrative call is one row of the audit, also when the journal cannot take it at once."""

from __future__ import annotations

import asyncio
import re

import pytest

from engine.actor import Actor
from engine.api.client import CommandRefused
from engine.api.refused_calls import RefusedCalls
from engine.journal.errors import JournalUnavailable
from engine.journal.records import OutboxKind


async def rows(served) -> list[tuple[str, bool]]:
    await served.rig.parts.commands.settle_audits()
    return [(row["command"], row["accepted"]) for row in served.rig.recorded(OutboxKind.CONTROL)]


async def test_a_stop_holds_while_the_audit_cannot_be_written_and_is_written_later(served, monkeypatch):
    rig = served.rig
    record = rig.journal.record_control

    async def refuse(_):
        raise JournalUnavailable("the disk is full")

    monkeypatch.setattr(rig.journal, "record_control", refuse)
    await served.client.stop("disk is full")
    assert not rig.gate.state.is_running
    await rig.tick(5)
    assert served.rig.recorded(OutboxKind.CONTROL) == []
    monkeypatch.setattr(rig.journal, "record_control", record)
    await rig.until(lambda: served.rig.recorded(OutboxKind.CONTROL))
    (row,) = served.rig.recorded(OutboxKind.CONTROL)
    assert (row["command"], row["detail"], row["accepted"]) == ("emergency-stop", "disk is full", True)
    await rig.tick(10)
    assert len(served.rig.recorded(OutboxKind.CONTROL)) == 1


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (lambda client: client.retry("0" * 12), "retry"),
        (lambda client: client.dismiss("0" * 12), "dismiss"),
        (lambda client: client.retry_all("nothing"), "retry-all"),
        (lambda client: client.contribute(0), "contribute"),
        (lambda client: client.resume("", 1), "resume"),
        (lambda client: client.resume("go", 99), "resume"),
        (lambda client: client.acknowledge_alert("7"), "acknowledge-alert"),
    ],
)
async def test_a_refused_command_is_one_row(served, call, command):
    if command == "resume":
        await served.rig.gate.stop("ada", "first")
    with pytest.raises(CommandRefused):
        await call(served.client)
    assert await rows(served) == [(command, False)]


@pytest.mark.parametrize(
    ("call", "command"),
    [
        (lambda client: client.stop(""), "emergency-stop"),
        (lambda client: client.clear_queue(), "clear-queue"),
        (lambda client: client.retry_all("timeout"), "retry-all"),
        (lambda client: client.contribute(1), "contribute"),
        (lambda client: client.resume("already", 1), "resume"),
        (lambda client: client.shutdown(), "shutdown"),
    ],
)
async def test_an_accepted_command_is_one_row(served, call, command):
    await call(served.client)
    assert await rows(served) == [(command, True)]


async def test_a_flood_of_refused_calls_is_a_bounded_number_of_rows_that_count_each(served, monkeypatch):
    refused = served.server._dispatcher._refused
    monkeypatch.setattr(refused, "_rows", 3)
    calls = [("clear-queue", {}), ("retry/00ff", {}), ("shutdown", {"Origin": "https://evil.example"})]
    for command, headers in calls * 4:
        await served.ask("POST", f"/admin/{command}", headers=headers)
    assert await rows(served) == [("clear-queue", False), ("retry", False), ("shutdown", False)]
    await refused.close()
    assert len(await rows(served)) == 4
    *_, last = served.rig.recorded(OutboxKind.CONTROL)
    assert (last["actor"], last["command"], last["accepted"]) == ("several", "refused", False)
    told = last["detail"].partition(": ")
    assert told[0] == "9 more within a minute"
    counted = re.findall(r"(\d+) (\S+) \((\w+)\)", told[2])
    assert sum(int(count) for count, _, _ in counted) == 9
    assert ("3", "shutdown", "foreign_origin") in counted


async def test_what_was_counted_is_told_when_its_minute_is_over_and_then_rows_begin_anew() -> None:
    written: list[tuple[str, str]] = []
    told = asyncio.Event()

    async def write(caller: Actor, command: str, why: str) -> None:
        written.append((command, why))
        if command == "refused":
            told.set()

    refused = RefusedCalls(write, rows=1, window_s=0.05)
    for _ in range(3):
        await refused.note(Actor("ada"), "retry", "bad_id", "bad_id: so")
    async with asyncio.timeout(20):
        await told.wait()
    await refused.note(Actor("ada"), "retry", "bad_id", "bad_id: again")
    assert written == [
        ("retry", "bad_id: so"),
        ("refused", "2 more within a minute: 2 retry (bad_id)"),
        ("retry", "bad_id: again"),
    ]


async def test_what_cannot_be_told_while_the_engine_hangs_is_told_later() -> None:
    written: list[str] = []
    hangs = True

    async def write(caller: Actor, command: str, why: str) -> None:
        if hangs:
            raise TimeoutError
        written.append(why)

    refused = RefusedCalls(write, rows=0)
    await refused.note(Actor("ada"), "retry", "bad_id", "")
    await refused.close()
    hangs = False
    await refused.note(Actor("ada"), "retry", "bad_id", "")
    await refused.close()
    assert written == ["2 more within a minute: 2 retry (bad_id)"]
