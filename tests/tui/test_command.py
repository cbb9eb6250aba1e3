"""Where one console at a time may command: each says who does, and none takes over unless it is meant."""

from __future__ import annotations

import time

import msgspec
import pytest
from consoles import Console
from peer import Peer
from textual.widgets import Button

from engine.api import wire
from engine.paths import ProfilePaths
from tui.panes.keybar import KeyBar
from tui.preferences import Preferences

OTHER = wire.CommandView(console="ab" * 8, by="ada", terminal="/dev/pts/7", since_ns=time.time_ns())
NOBODY = wire.CommandView(console="", by="", terminal="", since_ns=0)


async def commanded_by(console: Console, peer: Peer, view: wire.CommandView | None) -> None:
    """Let the engine say who commands, and wait until the console has heard it."""
    await peer.push(msgspec.structs.replace(peer.snapshot, command=view))
    await console.until(
        lambda: console.app.state.snapshot is not None and console.app.state.snapshot.command == view
    )
    await console.pilot.pause()


def own(console: Console) -> wire.CommandView:
    """The engine's word that this console commands."""
    return msgspec.structs.replace(OTHER, console=console.app.state.console)


async def test_the_banner_says_who_commands_and_commands_are_dimmed_while_another_console_does(
    console: Console, peer: Peer
) -> None:
    await commanded_by(console, peer, OTHER)
    assert "ada on pts/7 commands since " in console.banner()
    await console.press("c", "3", "r", "d")
    await console.press("f", "c")
    assert not console.app.screen.query(Button)
    await console.press("ctrl+e")
    await peer.command("emergency-stop")
    assert [name for name, _ in peer.commands] == ["emergency-stop"]


async def test_another_console_is_relieved_only_by_a_confirming_key_and_by_its_name(
    console: Console, peer: Peer
) -> None:
    await commanded_by(console, peer, OTHER)
    await console.press("K")
    await console.says("Take command from ada?")
    assert "/dev/pts/7" in console.screen_text()
    focused = console.app.screen.focused
    assert isinstance(focused, Button)
    assert focused.id == "cancel"
    await console.press("K", "escape", "K")
    await console.says("Take command from ada?")
    assert not peer.commands
    await commanded_by(console, peer, msgspec.structs.replace(OTHER, console="cd" * 8, by="bob"))
    assert "Take command from ada?" in console.screen_text()
    await console.press("y")
    assert await peer.command("take-command") == {"seen": OTHER.console}


async def test_command_that_nobody_has_is_taken_and_ones_own_is_let_go_without_asking(
    console: Console, peer: Peer
) -> None:
    await commanded_by(console, peer, NOBODY)
    assert "nobody commands" in console.banner()
    await console.press("K")
    assert await peer.command("take-command") == {"seen": ""}
    await commanded_by(console, peer, own(console))
    assert "you command since " in console.banner()
    await console.press("K")
    await peer.command("release-command")


async def test_a_console_that_is_relieved_says_so_with_a_bell(
    console: Console, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[bool] = []
    monkeypatch.setattr(console.app, "bell", lambda: rung.append(True))
    await commanded_by(console, peer, own(console))
    await console.press("c")
    await console.says("Drop the 6 queued")
    await console.press("escape")
    await commanded_by(console, peer, OTHER)
    await console.says("ada commands now, from /dev/pts/7")
    assert rung == [True]
    await commanded_by(console, peer, msgspec.structs.replace(OTHER, by="bob"))
    assert rung == [True]


async def test_the_key_is_not_there_where_every_console_commands(console: Console, peer: Peer) -> None:
    await commanded_by(console, peer, None)
    assert "command" not in console.banner()
    assert "K Command" not in console.app.screen.query_one(KeyBar).plain
    await console.press("K", "c")
    await console.says("Drop the 6 queued")
    await commanded_by(console, peer, OTHER)
    await console.press("escape")
    await console.until(lambda: "K Command" in console.app.screen.query_one(KeyBar).plain)


async def test_a_console_that_only_looks_has_no_name_to_command_by(paths: ProfilePaths, peer: Peer) -> None:
    async with Console.attached(paths, preferences=Preferences(is_read_only=True)) as console:
        await commanded_by(console, peer, NOBODY)
        await console.press("K", "c")
        await console.press("ctrl+e")
        await peer.command("emergency-stop")
        assert [name for name, _ in peer.commands] == ["emergency-stop"]
        assert console.app.state.console == ""
    assert set(peer.consoles) == {""}


async def test_stream_and_commands_carry_the_same_name(console: Console, peer: Peer) -> None:
    await console.press("c", "y")
    await peer.command("clear-queue")
    assert set(peer.consoles) == {console.app.state.console} != {""}
