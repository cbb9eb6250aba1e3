"""Every administrative call is one row of the audit, also when the journal cannot take it at once."""

from __future__ import annotations

import pytest

from engine.api.client import CommandRefused
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
