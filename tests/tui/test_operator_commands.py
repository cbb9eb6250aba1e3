"""Retry, dismiss, clear, resume and quit act on what the operator saw, and only when it was meant."""

from __future__ import annotations

import msgspec
import snapshots
from consoles import Console
from peer import Peer
from textual.widgets import Button, Input

from engine.api import wire
from engine.paths import ProfilePaths
from tui.lines import Tone
from tui.live_table import LiveTable
from tui.panes.keybar import KeyBar


def failed_table(console: Console) -> LiveTable:
    return console.app.screen_stack[0].query_one("#failed-table", LiveTable)


async def reorder_failed(console: Console, peer: Peer) -> None:
    """A new failure on top, and the others in another order."""
    rows = [
        snapshots.failed(7, last_at_ns=peer.snapshot.taken_at_ns + 10**10),
        *(snapshots.failed(n, last_at_ns=peer.snapshot.taken_at_ns - (9 - n) * 10**9) for n in range(4)),
    ]
    await peer.push(msgspec.structs.replace(peer.snapshot, failed=rows, failed_length=5))
    await console.until(lambda: len(failed_table(console).rows) == 5)


async def test_no_note_from_before_covers_a_dialog(console: Console) -> None:
    for keys in (("q",), ("x",), ("f", "c")):
        console.app.tell("a note from before")
        await console.press(*keys)
        await console.until(lambda: isinstance(console.app.focused, Button))
        assert not list(console.app._notifications)
        await console.press("escape")


async def test_retry_acts_on_the_row_that_the_dialog_names_after_the_list_was_sorted_anew(
    console: Console, peer: Peer
) -> None:
    await console.press("3", "down")
    wanted = snapshots.failed(1)
    assert failed_table(console).cursor_key == wanted.liquidation_id
    await console.press("r")
    await console.says(wanted.address)
    await reorder_failed(console, peer)
    assert wanted.outcome in console.screen_text()
    await console.press("y")
    await peer.command(f"retry/{wanted.liquidation_id}")
    assert [name for name, _ in peer.commands] == [f"retry/{wanted.liquidation_id}"]


async def test_the_opening_key_and_enter_do_not_confirm_a_retry(console: Console, peer: Peer) -> None:
    await console.press("3", "r")
    await console.says("Try this liquidation again?")
    focused = console.app.screen.focused
    assert isinstance(focused, Button)
    assert focused.id == "cancel"
    await console.press("r", "r")
    await console.says("Try this liquidation again?")
    await console.press("enter")
    await console.until(lambda: "Try this" not in console.screen_text())
    await console.press("d")
    await peer.command("dismiss/failed0")
    assert [name for name, _ in peer.commands] == ["dismiss/failed0"]


async def test_retry_and_dismiss_do_nothing_where_their_cursor_is_not_seen(
    console: Console, peer: Peer
) -> None:
    await console.press("1", "r", "d", "2", "r", "d", "3", "d")
    await peer.command("dismiss/failed0")
    assert [name for name, _ in peer.commands] == ["dismiss/failed0"]


async def test_a_refused_retry_shows_the_engines_reason(console: Console, peer: Peer) -> None:
    peer.refusal = wire.ErrorBody(code="healthy", message="The position is healthy again: nothing to retry")
    await console.press("3", "r", "y")
    await console.says("The position is healthy again: nothing to retry")


async def test_clear_queue_asks_first(console: Console, peer: Peer) -> None:
    await console.press("c")
    await console.says("Drop the 6 queued")
    await console.press("c", "escape", "c")
    await console.says("Drop the 6 queued")
    assert peer.commands == []
    await console.press("y")
    await peer.command("clear-queue")


async def stop_and_open_resume(console: Console, peer: Peer) -> None:
    await peer.push(msgspec.structs.replace(peer.snapshot, gate=snapshots.gate("stopped", 7)))
    await console.says("■ STOPPED")
    await console.press("u")
    await console.says("8.2 SOL, below the minimum of 10")


async def test_resume_needs_a_reason_and_the_typed_word_and_quotes_the_gates_version(
    console: Console, peer: Peer
) -> None:
    await stop_and_open_resume(console, peer)
    focused = console.app.screen.focused
    assert isinstance(focused, Button)
    assert focused.id == "cancel"
    confirm = console.app.screen.query_one("#resume", Button)
    assert confirm.disabled
    await console.press("tab", *"drill is over", "enter", *"resume")
    assert confirm.disabled
    await console.press("enter")
    await console.says("drill is over")
    console.app.screen.query_one("#word", Input).value = ""
    await console.press(*"RESUME")
    await console.until(lambda: not confirm.disabled)
    await console.press("enter")
    body = await peer.command("resume")
    assert body == {"reason": "drill is over", "gate_version": 7}
    await console.says("● RUNNING")


async def test_the_word_without_a_reason_does_not_resume(console: Console, peer: Peer) -> None:
    await stop_and_open_resume(console, peer)
    await console.press("tab", "enter", *"RESUME", "enter")
    await console.until(lambda: console.app.screen.query_one("#word", Input).value == "RESUME")
    assert console.app.screen.query_one("#resume", Button).disabled
    await console.press("escape")
    assert peer.commands == []


async def test_a_newer_stop_locks_an_open_resume_dialog(console: Console, peer: Peer) -> None:
    await stop_and_open_resume(console, peer)
    await console.press("tab", *"over", "enter", *"RESUME")
    await peer.push(msgspec.structs.replace(peer.snapshot, gate=snapshots.gate("stopped", 8)))
    await console.says("the stop state changed meanwhile")
    await console.press("enter")
    await console.says("the stop state changed meanwhile")
    assert peer.commands == []


def tone_of_key(console: Console, key: str) -> Tone:
    """How a key shows at the foot."""
    (shown,) = console.app.screen.query_one(KeyBar).lines
    return next(part.tone for part in shown if part.text.split()[:1] == [key])


async def test_resume_is_dimmed_while_the_engine_runs(console: Console, peer: Peer) -> None:
    assert tone_of_key(console, "u") is Tone.MUTED
    assert tone_of_key(console, "ctrl+e") is Tone.DANGER
    await console.press("u")
    await console.press("q")
    await console.says("runs on without this console")
    assert "type RESUME" not in console.screen_text()


async def test_quitting_leaves_the_engine_running_unless_it_is_told_to_stop(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths) as console:
        await console.press("q")
        await console.says("Leave running")
        await console.press("escape", "q")
        await console.says("Leave running")
        await console.press("enter")
        await console.until(lambda: console.app.return_value == "leave")
    assert "runs on" in console.app.farewell
    assert peer.commands == []


async def test_quit_can_stop_the_engine(paths: ProfilePaths, peer: Peer) -> None:
    async with Console.attached(paths) as console:
        await console.press("ctrl+c")
        await console.says("Stop engine")
        await console.press("s")
        await peer.command("shutdown")
        await console.until(lambda: console.app.return_value == "stop")
    assert [name for name, _ in peer.commands] == ["shutdown"]


async def test_a_refused_shutdown_keeps_the_console_open(console: Console, peer: Peer) -> None:
    peer.refusal = wire.ErrorBody(code="busy", message="A backup runs: wait for it")
    await console.press("q", "s")
    await console.says("A backup runs: wait for it")
    assert console.app.return_value is None
