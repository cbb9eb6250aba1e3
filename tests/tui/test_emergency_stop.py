"""One key stops from everywhere, asks nothing, says what is out; without an engine it leaves an order."""

from __future__ import annotations

import json
import socket
import threading

import msgspec
import pytest
import snapshots
from consoles import Console
from peer import Peer
from textual.widgets import Input

from engine.api import wire
from engine.errors import EngineNotRunning
from engine.paths import ProfilePaths
from tui.commands import Commands

PLACES: dict[str, tuple[tuple[str, ...], str]] = {
    "the main screen": ((), "AT RISK"),
    "the detail screen": (("enter",), "394.71 + 100.5"),
    "help": (("question_mark",), "Everywhere"),
    "the retry dialog": (("3", "r"), "Try this liquidation again?"),
    "the clear-queue dialog": (("c",), "Drop the 6 queued"),
    "the retry-all dialog": (("3", "R", "tab", "R"), "Try all 2 again"),
    "the contribution dialog": (("f", "c", "tab", "1"), "Nothing is sent yet"),
    "the explorer's dialog": (("x",), "no public explorer"),
    "the quit dialog": (("q",), "runs on without this console"),
    "a filter being typed": (("slash", "b"), 'match "b"'),
    "the command palette": (("ctrl+p",), "Emergency stop"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_the_stop_key_stops_at_once_from(console: Console, peer: Peer, place: str) -> None:
    keys, landmark = PLACES[place]
    await console.press(*keys)
    await console.says(landmark)
    await console.press("ctrl+e")
    body = await peer.command("emergency-stop")
    assert body == {"reason": "emergency stop from the console"}
    await console.until(lambda: "■ STOPPED" in console.banner())
    assert "2 in flight, none can land after block 298,114,402" in console.banner()
    assert [name for name, _ in peer.commands] == ["emergency-stop"]


async def test_the_stop_key_stops_from_within_the_resume_dialog(console: Console, peer: Peer) -> None:
    await peer.push(msgspec.structs.replace(peer.snapshot, gate=snapshots.gate("stopped", 4)))
    await console.says("■ STOPPED")
    await console.press("u", "tab", *"half")
    await console.until(lambda: console.app.screen.query_one("#reason", Input).value == "half")
    await console.press("ctrl+e")
    await peer.command("emergency-stop")
    await console.says("the stop state changed meanwhile")


async def test_the_whole_banner_changes_with_the_stop(console: Console, peer: Peer) -> None:
    await console.press("ctrl+e")
    await console.says("by root at ")
    banner = console.app.screen_stack[0].query_one("Banner")
    styles = {
        segment.style.bgcolor.number
        for y in range(2)
        for segment in banner.render_line(y)
        if segment.style is not None and segment.style.bgcolor is not None
    }
    assert styles == {1}  # ANSI red, whatever the terminal makes of it


async def test_pressing_stop_again_while_the_answer_is_out_sends_it_once(
    console: Console, peer: Peer
) -> None:
    peer.answering.clear()
    await console.press("ctrl+e", "ctrl+e", "ctrl+e")
    await peer.command("emergency-stop")
    await console.says("■ STOPPING")
    peer.answering.set()
    await console.says("■ STOPPED")
    assert [name for name, _ in peer.commands] == ["emergency-stop"]


async def test_stopping_a_stopped_engine_asks_it_again_and_keeps_the_banner(
    console: Console, peer: Peer
) -> None:
    await console.press("ctrl+e")
    await console.says("■ STOPPED")
    await console.press("ctrl+e")
    await console.until(lambda: len(peer.commands) == 2)
    assert "■ STOPPED" in console.banner()


async def test_without_an_engine_the_stop_is_left_for_the_next_start(paths: ProfilePaths) -> None:
    async with Console.opened(paths) as console:
        await console.says("No engine answers")
        await console.press("ctrl+e")
        await console.until(paths.standing_stop.exists)
        order = json.loads(paths.standing_stop.read_bytes())
        assert order["reason"] == "emergency stop from the console"
        await console.says("a standing stop is written")


async def test_an_engine_that_hangs_gets_an_order_for_its_next_start_until_it_answers(
    console: Console, peer: Peer, paths: ProfilePaths
) -> None:
    peer.answering.clear()
    await console.press("ctrl+e")
    await console.until(paths.standing_stop.exists)
    peer.answering.set()
    await console.says("■ STOPPED")
    await console.until(lambda: not paths.standing_stop.exists())


async def test_while_the_engine_hangs_the_console_says_what_it_knows_and_what_its_stop_thread_answers(
    console: Console, peer: Peer, paths: ProfilePaths
) -> None:
    peer.answering.clear()
    await console.press("ctrl+e")
    await console.says("2 sent when last heard; `kill -9 4242` ends it")
    await console.until(paths.standing_stop.exists)
    told = paths.stop_acknowledged.with_suffix(".new")  # read as soon as it is there: it is there at once
    told.write_text("Stopped: 2 transactions are out\x1b[2J\n")
    told.replace(paths.stop_acknowledged)
    await console.says("its stop thread answered: Stopped: 2 transactions are out")
    peer.answering.set()
    await console.says("■ STOPPED")


async def test_a_stop_that_a_restart_would_forget_says_so(console: Console, peer: Peer) -> None:
    gate = snapshots.gate("stopped", 9, persisted=False)
    await peer.push(msgspec.structs.replace(peer.snapshot, gate=gate))
    await console.says("NOT ON DISK")


async def test_a_refused_stop_is_shown_and_leaves_an_order(
    console: Console, peer: Peer, paths: ProfilePaths
) -> None:
    peer.refusal = wire.ErrorBody(code="broken", message="the gate is broken: kill the process")
    await console.press("ctrl+e")
    await console.says("the gate is broken: kill the process")
    assert paths.standing_stop.exists()


async def test_the_stop_leaves_although_the_consoles_loop_never_comes_round(paths: ProfilePaths) -> None:
    paths.prepare()
    heard: list[bytes] = []
    arrived = threading.Event()

    def listen(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(4096))
            arrived.set()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(paths.socket))
        listener.listen()
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
        asking = Commands(paths, lambda _: None).press_stop("now")
        assert arrived.wait(10)  # this thread, and with it the loop, does nothing else
    assert heard[0].startswith(b"POST /admin/emergency-stop HTTP/1.1")
    with pytest.raises(EngineNotRunning):
        await asking
