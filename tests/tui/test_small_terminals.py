"""Every screen in a terminal too small for it says so, stops, is left, and acts on nothing that is hidden."""

from __future__ import annotations

import asyncio

import pytest
from consoles import Console
from peer import Peer
from terminals import TerminalConsole, console_command
from textual import events

from engine.paths import ProfilePaths
from tui.panes.filter_line import FilterInput
from tui.places import PLACES
from tui.screens.full_screen import FullScreen
from tui.screens.main import MainScreen

ENOUGH = (80, 24)
TOO_SMALL = ((59, 15), (59, 40), (80, 15))
# What a screen offers of its own there: to be left, and the other places.
LEFT = {"back", "app.focus_next", "app.focus_previous", *(f"app.place('{place.name}')" for place in PLACES)}
# Of each screen: the key that leads there from the main screen, what it shows when there is room, and keys
# that would act on what it shows.
SCREENS = {
    "main": ("", "AT RISK", ("3", "r")),
    "history": ("h", "exceeded CUs", ("enter", "e")),
    "risk": ("l", "next long", ("end",)),
    "fund": ("f", "contribution", ("c",)),
    "alerts": ("a", "1 new", ("x",)),
    "audit": ("t", "emergency-stop", ("enter",)),
    "settings": ("s", "DATABASE_URL", ("slash",)),
    "log": ("g", "emergency stop sent", ("v",)),
    "position": ("enter", "collateral", ("x",)),
    "help": ("question_mark", "lift the stop", ("down",)),
}
# In every run; all of the screens in all of the sizes take half a minute.
OF_EACH_KIND = (
    ("main", TOO_SMALL[0]),
    ("history", TOO_SMALL[0]),
    ("position", TOO_SMALL[1]),
    ("help", TOO_SMALL[2]),
)
# Turns of the event loop after which a screen that was opened has not begun, is being made, and is there.
TURNS = (0, 1, 2, 16)


async def resized(console: Console, size: tuple[int, int]) -> None:
    """Give the console this size; return when it is laid out between its banner and its keys."""
    await console.pilot.resize_terminal(*size)

    def is_laid_out() -> bool:
        first, *_, last = console.screen_text().splitlines()
        return (
            console.app.screen.size == size
            and ("● RUNNING" in first or "■ STOPPED" in first)
            and "ctrl+e STOP" in last
        )

    await console.until(is_laid_out)


async def says_too_small(console: Console, size: tuple[int, int]) -> None:
    """Return when there is nothing else between the banner and the keys."""
    await resized(console, size)
    said = f"too small: 60×16 is needed, this is {size[0]}×{size[1]}."

    def says_only_that() -> bool:
        between = console.screen_text().splitlines()[2:-1]
        return [text.strip() for text in between if text.strip()] == [said, "ctrl+e still stops."]

    await console.until(says_only_that)
    await console.until(lambda: console.app.focused is None)


async def says_so_stops_and_comes_back(
    console: Console, peer: Peer, name: str, size: tuple[int, int]
) -> None:
    """Go to a screen, make the terminal too small, stop, make it large again, and leave the screen."""
    key, sight, on_rows = SCREENS[name]
    stops = len(peer.commands)
    await resized(console, ENOUGH)
    await console.press(*([key] if key else ()))
    await console.says(sight)
    screen, had_keys = console.app.screen, console.app.focused
    assert isinstance(screen, FullScreen), name
    assert had_keys is not None, name
    await says_too_small(console, size)
    await console.press(*on_rows)
    assert (console.app.screen, console.app.focused) == (screen, None), name
    active = screen.active_bindings.values()
    assert {each.binding.action for each in active if each.node is screen} <= LEFT, name
    assert all(each.node in (screen, console.app) for each in active), name
    await console.press("ctrl+e")
    await console.until(lambda: len(peer.commands) == stops + 1)
    await console.says("emergency-stop: done")
    console.app.clear_notifications()  # they would lie over the next screen for a while
    await resized(console, ENOUGH)
    await console.says(sight)
    assert "too small" not in console.screen_text(), name
    assert console.app.focused is had_keys, name
    assert not any(line.display for line in screen.query(FilterInput)), name
    if key:
        await console.press("escape")
        await console.until(lambda: isinstance(console.app.screen, MainScreen))
    assert {command for command, _ in peer.commands} == {"emergency-stop"}
    assert not (console.app.plan.paths.state / "exports").exists()


async def test_a_screen_of_each_kind_says_so_stops_and_comes_back_as_it_was(
    console: Console, peer: Peer
) -> None:
    for name, size in OF_EACH_KIND:
        await says_so_stops_and_comes_back(console, peer, name, size)


@pytest.mark.long
@pytest.mark.parametrize("size", TOO_SMALL)
async def test_every_screen_says_so_stops_and_comes_back_as_it_was(
    console: Console, peer: Peer, size: tuple[int, int]
) -> None:
    for name in SCREENS:
        await says_so_stops_and_comes_back(console, peer, name, size)


async def test_a_screen_that_is_left_while_it_opens_does_not_end_the_console(console: Console) -> None:
    opened = asyncio.Event()
    console.app.screen_change_signal.subscribe(console.app, lambda _: opened.set(), immediate=True)
    for name in ("help", "history", "position", "risk"):
        key, _, _ = SCREENS[name]
        for turns in TURNS:
            opened.clear()
            console.app.post_message(events.Key(key, None))
            await asyncio.wait_for(opened.wait(), 20)
            for _ in range(turns):
                await asyncio.sleep(0)
            console.app.show_now()  # a state that comes just then
            await console.press("escape")
            await console.until(lambda: isinstance(console.app.screen, MainScreen))
    await console.says("AT RISK")


async def test_what_is_opened_where_there_is_no_room_has_the_keys_when_there_is(
    paths: ProfilePaths, peer: Peer
) -> None:
    async with Console.attached(paths, size=TOO_SMALL[0]) as console:
        for key, sight in (("h", "exceeded CUs"), ("l", "next long"), ("question_mark", "lift the stop")):
            await says_too_small(console, TOO_SMALL[0])
            await console.press(key)
            await says_too_small(console, TOO_SMALL[0])
            await resized(console, ENOUGH)
            await console.says(sight)
            assert console.app.focused is not None, key


async def test_the_pane_that_had_the_keys_has_them_again_whatever_was_on_top_meanwhile(
    console: Console,
) -> None:
    await console.press("2")
    queue = console.app.focused
    assert queue is console.app.screen.query_one("#queue-table")
    await console.press("h")
    await says_too_small(console, TOO_SMALL[0])
    await console.press("escape")
    await says_too_small(console, TOO_SMALL[0])
    await console.press("q")
    await console.says("Leave running")
    await console.press("escape")
    await says_too_small(console, TOO_SMALL[0])
    await resized(console, ENOUGH)
    assert console.app.focused is queue


async def test_what_was_being_typed_is_gone_on_with(console: Console) -> None:
    await console.press("s", "slash", *"data")
    await says_too_small(console, TOO_SMALL[1])
    await console.press(*"xyz", "enter")
    await resized(console, ENOUGH)
    await console.press(*"base", "enter")
    await console.says('match "database"')


async def test_a_command_chosen_after_its_row_was_hidden_does_nothing(console: Console, peer: Peer) -> None:
    await console.press("3", "ctrl+p", *"Dismiss")
    await console.says("off the list")
    await console.pilot.resize_terminal(*TOO_SMALL[0])
    await console.until(lambda: console.app.screen.size == TOO_SMALL[0])
    await console.press("enter")
    await console.until(lambda: isinstance(console.app.screen, MainScreen))
    await says_too_small(console, TOO_SMALL[0])
    await console.press("ctrl+e")
    await peer.command("emergency-stop")
    assert [name for name, _ in peer.commands] == ["emergency-stop"]


async def test_a_line_too_long_for_a_very_narrow_terminal_goes_on_in_the_next(console: Console) -> None:
    await resized(console, (30, 10))
    await console.says("this is 30×10.")
    assert "too small: 60×16 is needed," in console.screen_text()


def test_a_real_terminal_that_gets_too_small_and_large_again_shows_the_screen_it_left(
    served: ProfilePaths,
) -> None:
    sized_by_the_terminal = ["env", "-u", "COLUMNS", "-u", "LINES"]
    command = [*sized_by_the_terminal, *console_command(served.state, served.runtime)]
    with TerminalConsole(served.state, served.runtime, columns=80, rows=24, command=command) as terminal:
        terminal.shows("● RUNNING")
        terminal.send(b"h")
        terminal.shows("exceeded CUs")
        terminal.lose_everything(59, 15)
        terminal.shows("too small: 60×16 is needed, this is 59×15.")
        assert "ctrl+e STOP" in terminal.shows("esc Back")
        terminal.send(b"\x05")
        terminal.shows("■ STOPPED")
        terminal.lose_everything(80, 24)
        shown = terminal.shows("exceeded CUs")
        assert "too small" not in shown
