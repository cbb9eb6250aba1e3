"""The console looks as it is kept in `pictures/`, cell by cell: at three sizes, in three themes, every place.

    RENEW_PICTURES=1 pytest tests/tui/test_pictures.py

keeps what it looks like now; look at the difference before it is committed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pictures
import pytest
from consoles import Console
from peer import Peer

from engine.paths import ProfilePaths
from tui.preferences import Preferences

AT_NS = 1_793_455_387 * 10**9  # 2026-10-31 14:03:07 UTC
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("dark", "light", "high-contrast")
PLACES = {"history": "h", "risk": "l", "fund": "f", "alerts": "a", "audit": "t", "settings": "s", "log": "g"}


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same moment in every run, in the same time zone."""
    monkeypatch.setattr(time, "time_ns", lambda: AT_NS)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
async def dark(paths: ProfilePaths, still_clock: None, peer: Peer) -> AsyncIterator[Console]:
    """A console of 120×40 in the dark theme."""
    async with Console.attached(paths, preferences=Preferences(theme="dark")) as console:
        yield console


async def looks_like(console: Console, name: str) -> None:
    """Return when the screen is as it is kept under this name; fail with the difference if it never is."""
    console.app.clear_notifications()
    await console.pilot.pause()
    if pictures.is_renewing():
        pictures.keep(name, await settled(console))
        return
    wanted = pictures.kept(name)
    try:
        await console.until(lambda: pictures.picture(console.app) == wanted)
    except AssertionError:
        raise AssertionError(pictures.difference(name, wanted, pictures.picture(console.app))) from None


async def settled(console: Console) -> str:
    """The picture when it has stood still for some looks."""
    seen: list[str] = []
    while len(seen) < 5 or len(set(seen[-5:])) > 1:
        await console.pilot.pause(0.1)
        seen.append(pictures.picture(console.app))
    return seen[-1]


async def test_the_main_screen_at_three_sizes_in_three_themes(dark: Console) -> None:
    for width, height in SIZES:
        await dark.pilot.resize_terminal(width, height)
        for theme in THEMES:
            dark.app.theme = theme
            await looks_like(dark, f"main-{width}x{height}-{theme}")


async def test_every_place(dark: Console) -> None:
    for name, key in PLACES.items():
        await dark.press(key)
        await looks_like(dark, name)
        await dark.press("escape")
    await dark.press("1", "enter")
    await looks_like(dark, "position")
    await dark.press("escape", "question_mark")
    await looks_like(dark, "help")


async def test_the_dangerous_dialogs_on_a_small_terminal(dark: Console, peer: Peer) -> None:
    await dark.pilot.resize_terminal(80, 24)
    for name, keys in {
        "retry": ("3", "r"),
        "retry-all": ("3", "R"),
        "clear-queue": ("c",),
        "quit": ("q",),
        "contribute": ("f", "c"),
    }.items():
        await dark.press(*keys)
        await looks_like(dark, f"dialog-{name}")
        await dark.press("escape", *(("escape",) if name == "contribute" else ()))
    await dark.press("ctrl+e")
    await peer.command("emergency-stop")
    await dark.says("STOPPED")
    await dark.press("u")
    await dark.says("reconciled")
    await looks_like(dark, "dialog-resume")
