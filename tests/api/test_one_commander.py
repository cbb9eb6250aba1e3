"""Where one console at a time may command: who asked first does, until it goes or another one takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from rig import Rig

from engine.api import wire
from engine.api.client import CommandRefused, EngineClient
from engine.api.server import ApiServer
from engine.api.stream_reader import Pace
from engine.journal.records import OutboxKind


class Consoles:
    """Attaches consoles to one engine of which one may command."""

    def __init__(self, rig: Rig, socket: Path) -> None:
        self.rig = rig
        self.socket = socket

    @asynccontextmanager
    async def attached(self, name: str) -> AsyncIterator[EngineClient]:
        """A console that reads the stream and has seen a first snapshot."""
        async with (
            EngineClient(self.socket, name) as client,
            aclosing(client.stream(Pace(60_000))) as snapshots,
        ):
            await anext(snapshots)
            yield client

    async def in_command(self) -> wire.CommandView:
        """Who commands, by the word of the engine."""
        async with EngineClient(self.socket) as client:
            view = (await client.snapshot()).command
        assert view is not None
        return view

    async def until_nobody_commands(self) -> None:
        """Return when the engine has heard that a console is gone."""

        async def nobody() -> bool:
            return not (await self.in_command()).console

        while not await nobody():
            pass

    async def refusal(self, client: EngineClient) -> str:
        """The code with which a command of this console is refused."""
        with pytest.raises(CommandRefused) as refused:
            await client.clear_queue()
        return refused.value.code

    async def audit(self) -> list[tuple[str, str, bool]]:
        """Command, detail and acceptance of each row that is written."""
        await self.rig.parts.commands.settle_audits()
        return [
            (row.payload["command"], row.payload["detail"], row.payload["accepted"])
            for row in self.rig.journal.outbox(1_000)
            if row.kind is OutboxKind.CONTROL
        ]


@pytest.fixture
async def consoles(rig: Rig, tmp_path: Path) -> AsyncIterator[Consoles]:
    """An engine that listens to one console at a time."""
    server = ApiServer(rig.parts.snapshots, rig.parts.commands, one_commander=True)
    await server.start(tmp_path / "engine.sock", 0)
    yield Consoles(rig, tmp_path / "engine.sock")
    await server.close()


async def test_the_first_console_to_attach_commands_and_the_second_is_refused(consoles: Consoles) -> None:
    async with consoles.attached("first") as first, consoles.attached("second") as second:
        assert (await consoles.in_command()).console == "first"
        assert (await first.clear_queue()).message.startswith("Cleared")
        assert await consoles.refusal(second) == "commanded_by_another"
    assert ("take-command", "nobody had it", True) in await consoles.audit()
    refused = [row for row in await consoles.audit() if row[0] == "clear-queue" and not row[2]]
    assert len(refused) == 1
    assert "commanded_by_another" in refused[0][1]


async def test_an_emergency_stop_is_everybodys(consoles: Consoles) -> None:
    async with consoles.attached("first"), consoles.attached("second") as second:
        assert (await second.stop("fire")).gate.state == "stopped"
        assert (await consoles.in_command()).console == "first"


async def test_a_hold_ends_with_its_connection_and_the_next_to_command_has_it(consoles: Consoles) -> None:
    async with AsyncExitStack() as stack:
        async with consoles.attached("first"):
            second = await stack.enter_async_context(consoles.attached("second"))
            assert await consoles.refusal(second) == "commanded_by_another"
        await consoles.until_nobody_commands()
        await second.clear_queue()
        assert (await consoles.in_command()).console == "second"
    assert any(row[0] == "take-command" and row[1].endswith("is gone") for row in await consoles.audit())


async def test_who_comes_back_before_anybody_else_asked_has_command_still(consoles: Consoles) -> None:
    async with consoles.attached("first"):
        since_ns = (await consoles.in_command()).since_ns
    await consoles.until_nobody_commands()
    async with consoles.attached("first"):
        assert (await consoles.in_command()).since_ns == since_ns
    assert [row[0] for row in await consoles.audit()].count("take-command") == 1


async def test_taking_over_is_for_who_saw_the_one_that_commands(consoles: Consoles) -> None:
    async with (
        consoles.attached("first") as first,
        consoles.attached("second") as second,
        consoles.attached("third") as third,
    ):
        await second.take_command("first")
        assert (await consoles.in_command()).console == "second"
        assert await consoles.refusal(first) == "commanded_by_another"
        with pytest.raises(CommandRefused, match="commands now: look again"):
            await third.take_command("first")
        assert (await consoles.in_command()).console == "second"
    taken = sorted(
        (row for row in await consoles.audit() if row[0] == "take-command"), key=lambda row: not row[2]
    )
    assert [row[2] for row in taken] == [True, True, False]
    assert taken[1][1].startswith("from ")


async def test_command_that_was_let_go_is_whose_next_command_it_is(consoles: Consoles) -> None:
    async with consoles.attached("first") as first, consoles.attached("second") as second:
        with pytest.raises(CommandRefused, match="nothing to let go"):
            await second.release_command()
        await first.release_command()
        assert (await consoles.in_command()).console == ""
        await second.clear_queue()
        assert (await consoles.in_command()).console == "second"
    assert ("release-command", "let go", True) in await consoles.audit()


async def test_single_commands_of_the_command_line_are_no_console_and_go_through(consoles: Consoles) -> None:
    async with consoles.attached("first"), EngineClient(consoles.socket) as single:
        assert (await single.clear_queue()).message.startswith("Cleared")
        with pytest.raises(CommandRefused, match="Only a console that is attached"):
            await single.take_command("first")
        assert (await consoles.in_command()).console == "first"


async def test_without_the_setting_everybody_commands(rig: Rig, tmp_path: Path) -> None:
    server = ApiServer(rig.parts.snapshots, rig.parts.commands)
    await server.start(tmp_path / "engine.sock", 0)
    every = Consoles(rig, tmp_path / "engine.sock")
    async with every.attached("first") as first, every.attached("second") as second:
        assert (await first.snapshot()).command is None
        await first.clear_queue()
        await second.clear_queue()
        with pytest.raises(CommandRefused, match="ONE_COMMANDER is off"):
            await second.take_command("first")
    await server.close()
