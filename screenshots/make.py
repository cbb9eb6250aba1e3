"""Takes the pictures in this folder: the console itself, on a sandbox in a crash, driven by its own keys.

Everything in them runs: the cluster, the market, the database, the engine. The failures come about because
the cluster is told to fail a share of the transactions. SVG always; PNG too where rsvg-convert is installed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from textual.pilot import Pilot

from engine.api import launcher, wire
from engine.api.client import EngineClient
from engine.errors import OperatorError
from engine.paths import ProfilePaths, profile_paths
from tui.app import ConsoleApp
from tui.live_table import LiveTable
from tui.places import PLACES
from tui.plan import LaunchPlan
from tui.screens.asking import AskingScreen
from tui.screens.quit import Leaving

FOLDER = Path(__file__).parent
SANDBOX = ("--scenario", "crash", "--seed", "7", "--positions", "1500", "--rpc-port", "0", "--ws-port", "0")
LARGE, SMALL, WIDE = (120, 40), (80, 24), (200, 60)
DEADLINE_S = 60.0
SETTLE_S = 0.3
UNDER_WAY_NS = 20 * 10**9

# What a terminal makes of its sixteen colours is its user's choice; this is the pictures' choice.
PALETTE = TerminalTheme(
    (13, 17, 23),
    (215, 222, 232),
    [
        (72, 79, 88),
        (190, 36, 46),
        (126, 217, 143),
        (240, 198, 94),
        (121, 184, 255),
        (210, 168, 255),
        (92, 207, 230),
        (200, 208, 218),
    ],
    [
        (110, 118, 129),
        (255, 123, 114),
        (150, 232, 165),
        (250, 215, 130),
        (160, 205, 255),
        (226, 197, 255),
        (130, 222, 240),
        (255, 255, 255),
    ],
)
_CELL = 12.2  # units of the SVG between two characters
_TEXT = re.compile(
    r'<text class="(?P<style>[^"]+)" x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)" textLength="(?P<length>[\d.]+)"'
    r"(?P<rest>[^>]*)>(?P<blank>(?:&#160;)+)(?P<text>[^<]*)</text>"
)


def picture(app: ConsoleApp) -> str:
    """The console's screen as SVG in the pictures' palette."""
    svg = _TEXT.sub(_without_leading_blanks, app.export_screenshot(title=app.title))
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # a picture fetches nothing from elsewhere
    # The font that renderers without Fira Code fall back to is a little narrower than the grid.
    svg = svg.replace("font-size: 20px", "font-size: 20.266px")
    colours = {
        old.hex: new.hex
        for old, new in (
            *((SVG_EXPORT_THEME.ansi_colors[number], PALETTE.ansi_colors[number]) for number in range(16)),
            (SVG_EXPORT_THEME.background_color, PALETTE.background_color),
            (SVG_EXPORT_THEME.foreground_color, PALETTE.foreground_color),
        )
    }
    return re.sub(r"#[0-9a-f]{6}", lambda found: colours.get(found[0], found[0]), svg)


def _without_leading_blanks(found: re.Match[str]) -> str:
    """Renderers drop blanks at the begin of a text: the text begins where its first letter is."""
    shift = found["blank"].count("&#160;") * _CELL
    return (
        f'<text class="{found["style"]}" x="{float(found["x"]) + shift:g}" y="{found["y"]}" '
        f'textLength="{float(found["length"]) - shift:g}"{found["rest"]}>{found["text"]}</text>'
    )


class Photographer:
    """Drives one console and keeps what it shows."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[Leaving], paths: ProfilePaths) -> None:
        self.app = app
        self.pilot = pilot
        self.paths = paths

    async def until(self, what: str, holds: Callable[[wire.Snapshot], bool]) -> None:
        """Wait for a snapshot that is as wanted; OperatorError says what did not come."""

        def is_as_wanted() -> bool:
            seen = self.app.state.snapshot
            return seen is not None and holds(seen)

        await self._wait(what, is_as_wanted)

    async def take(self, name: str, *sizes: tuple[int, int]) -> None:
        """Keep the screen at each size; the terminal is large again afterwards."""
        for size in sizes:
            await self._resize(size)
            (FOLDER / f"{name}-{size[0]}x{size[1]}.svg").write_text(picture(self.app))
        await self._resize(LARGE)

    async def _resize(self, size: tuple[int, int]) -> None:
        if self.app.size != size:
            await self.pilot.resize_terminal(*size)
            await self.pilot.pause(SETTLE_S)

    async def press(self, *keys: str) -> None:
        """Press keys and let the screen settle."""
        await self.pilot.press(*keys)
        await self.pilot.pause(SETTLE_S)

    async def answered(self) -> None:
        """Wait until the place on the screen has what it asked the engine for; risk and log ask nothing."""
        screen = self.app.screen
        if isinstance(screen, AskingScreen):
            await self._wait(f"an answer for {screen.NAME}", lambda: screen.answer is not None)
        await self.pilot.pause(SETTLE_S)

    async def says(self, text: str) -> None:
        """Wait until the screen says this, whatever the letters' size."""
        await self._wait(f'"{text}"', lambda: text in self._painted().lower())

    def _painted(self) -> str:
        return "\n".join(strip.text for strip in self.app.screen._compositor.render_strips())

    async def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not holds():
            if time.monotonic() > end_s:
                raise OperatorError(f"No picture: {what} did not come about within {DEADLINE_S:.0f} s")
            await self.pilot.pause(0.05)

    async def leave(self) -> None:
        """Quit, with the engine and the sandbox."""
        await self.press("q", "s")
        end_s = time.monotonic() + DEADLINE_S
        while self.app.return_value is None and time.monotonic() < end_s:
            await self.pilot.pause(0.1)


async def healthy_round(photographer: Photographer) -> None:
    """A crash that is borne: the panes, every place, a position, help, the stop and the way back."""
    await photographer.until("a crash under way", is_under_way)
    await photographer.take("main", LARGE, SMALL, WIDE)
    await photographer.press("4")
    await photographer.take("second-page", SMALL)
    await photographer.press("1", "question_mark")
    await photographer.take("help", LARGE)
    await photographer.press("escape")
    await places(photographer, "history", "risk", "fund", "settings")
    await photographer.press("ctrl+e")
    await photographer.until("the stop", lambda seen: seen.gate.state == "stopped")
    await photographer.pilot.pause(1.0)
    await photographer.take("stopped", LARGE, SMALL)
    await photographer.press("u")
    await photographer.pilot.pause(1.0)
    await photographer.press("tab", *"prices looked at, all fine")
    await photographer.take("resume", LARGE, SMALL)
    await photographer.press("escape")
    await choose_position(photographer)
    await photographer.press("enter")
    await photographer.answered()
    await photographer.take("detail", LARGE, SMALL)
    await photographer.press("escape")
    await places(photographer, "alerts", "audit", "log")
    await photographer.press("q")
    await photographer.take("quit", LARGE)
    await photographer.press("escape")


def is_under_way(seen: wire.Snapshot) -> bool:
    """Many are done, and the first of them are final: the history has them, and the charts have a course."""
    done = seen.totals.full + seen.totals.partial
    return done > 450 and seen.taken_at_ns - seen.engine.started_at_ns > UNDER_WAY_NS


async def places(photographer: Photographer, *names: str) -> None:
    """Each of these places as it answers, and for the fund a contribution with its rehearsal."""
    for place in PLACES:
        if place.name not in names:
            continue
        await photographer.press(place.key)
        await photographer.answered()
        await photographer.take(place.name, LARGE, SMALL)
        if place.name == "fund":
            await photographer.press("c", "tab", *"0.25", "enter")
            await photographer.says("type the amount again")
            await photographer.take("contribute", LARGE)
            await photographer.press("escape")
    await photographer.press("escape")


async def choose_position(photographer: Photographer) -> None:
    """Put the cursor on a position that was liquidated in part and is borne now, if there is one."""
    table = photographer.app.screen.query_one("#at-risk-table", LiveTable)
    async with EngineClient(photographer.paths.socket) as client:
        for row in reversed(table.rows):
            try:
                detail = await client.position(row.key)
            except OperatorError:
                continue
            done = any(attempt.outcome == "confirmed" for attempt in detail.attempts)
            if done and detail.row.band != "liquidatable" and table.move_to(row.key):
                return


async def troubled_round(photographer: Photographer) -> None:
    """A program that refuses every third time, and an engine that gives up soon: one is retried."""
    await photographer.until("failed liquidations", lambda seen: seen.failed_length > 5)
    await photographer.press("3", "down", "r")
    await photographer.take("retry", LARGE)
    await photographer.press("escape", "R")
    await photographer.take("retry-all", LARGE)
    await photographer.press("escape")
    await photographer.take("failed", LARGE, SMALL)


def convert_all() -> str:
    """PNG beside each SVG; says how many, or why none."""
    if shutil.which("rsvg-convert") is None:
        return "no PNG: rsvg-convert is not installed (Debian: apt-get install librsvg2-bin)"
    drawn = sorted(FOLDER.glob("*.svg"))
    for svg in drawn:
        subprocess.run(["rsvg-convert", "-o", svg.with_suffix(".png"), svg], check=True)  # noqa: S603, S607
    return f"{len(drawn)} PNG"


async def take_round(
    profile: str, take: Callable[[Photographer], Awaitable[None]], arguments: tuple[str, ...]
) -> None:
    """One sandbox, one engine, one console, and whatever happens, none of them afterwards."""
    paths = profile_paths(profile)
    app = ConsoleApp(LaunchPlan(paths, arguments))
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        photographer = Photographer(app, pilot, paths)
        try:
            await take(photographer)
        finally:
            await photographer.leave()
    await launcher.stop_sandbox(paths)


async def main() -> None:
    """Profiles of their own in a temporary folder, so that no other engine is touched."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
            os.environ[variable] = folder
        await take_round("healthy", healthy_round, SANDBOX)
        os.environ["RETRY_ATTEMPTS"] = "2"
        await take_round("troubled", troubled_round, (*SANDBOX, "--trouble", "landing.fail_share=0.3"))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OperatorError as error:
        sys.exit(str(error))
    print(f"{len(list(FOLDER.glob('*.svg')))} SVG, {convert_all()} in {FOLDER}")
