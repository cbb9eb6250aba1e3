"""The terminal shows the same whether whole lines are written or only the cells that changed."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
import snapshots
from consoles import Console
from hypothesis import given, settings
from hypothesis import strategies as st
from peer import Peer
from rich.color import ColorSystem
from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.style import Style
from terminals import TerminalConsole
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region, Size
from textual.strip import Strip

from benchmarks.drawn import Drawn
from engine.paths import ProfilePaths
from tui.changed_cells import TerminalMemory

COLUMNS, ROWS = 24, 3
RICH = RichConsole(color_system="truecolor", force_terminal=True)
STYLES = [Style(), Style(color="red"), Style(color="green", bold=True), Style(reverse=True)]
LETTERS = "aaab─█ 日本é"
ACCENT = "\u0301"
SEEDS = st.integers(0, 2**64)


def strip_of(dice: Random, letters: str = LETTERS) -> Strip:
    """A painted line with wide letters."""
    segments = [
        Segment("".join(dice.choices(letters, k=dice.randrange(1, 9))), dice.choice(STYLES))
        for _ in range(dice.randrange(4))
    ]
    return Strip(segments).adjust_cell_length(COLUMNS, STYLES[0])


def layout(strips: list[Strip]) -> LayoutUpdate:
    return LayoutUpdate([[strip] for strip in strips], Region(0, 0, COLUMNS, len(strips)))


def chops(y: int, strip: Strip, cut: int, end: int) -> ChopsUpdate:
    """A line of two widgets that meet at `cut`, to be painted up to `end`."""
    left, right = strip.crop(0, cut), strip.crop(cut, COLUMNS)
    line = {0: left, cut: right} if 0 < cut < COLUMNS else {0: strip}
    ends = [cut, COLUMNS] if 0 < cut < COLUMNS else [COLUMNS]
    rows: list[dict[int, Strip | None]] = [{0: None} for _ in range(ROWS)]
    all_ends = [[COLUMNS] for _ in range(ROWS)]
    rows[y], all_ends[y] = dict(line), ends
    return ChopsUpdate(rows, [(y, 0, end)], all_ends)


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_the_terminal_shows_what_was_painted_last(seed: int) -> None:
    dice = Random(seed)
    memory, lean, plain = TerminalMemory(), Drawn(COLUMNS, ROWS), Drawn(COLUMNS, ROWS)
    strips = [strip_of(dice, LETTERS + ACCENT) for _ in range(ROWS)]
    for _ in range(4):
        strips[dice.randrange(ROWS)] = strip_of(dice, LETTERS + ACCENT)
        lean.write(memory.lean(layout(strips), Size(COLUMNS, ROWS)).render_segments(RICH))
        plain.write(layout(strips).render_segments(RICH))
        assert lean.cells == plain.cells


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, COLUMNS), st.integers(1, COLUMNS))
def test_a_part_of_a_line_may_be_painted(seed: int, cut: int, end: int) -> None:
    dice = Random(seed)
    before, after = strip_of(dice), strip_of(dice)
    memory, lean, plain = TerminalMemory(), Drawn(COLUMNS, ROWS), Drawn(COLUMNS, ROWS)
    for update in (layout([before] * ROWS), chops(1, after, cut, end)):
        lean.write(memory.lean(update, Size(COLUMNS, ROWS)).render_segments(RICH))
        plain.write(update.render_segments(RICH))
    assert lean.cells == plain.cells


def test_nothing_is_written_for_what_is_there() -> None:
    memory = TerminalMemory()
    strips = [Strip([Segment("the same", STYLES[1])])] * ROWS
    assert memory.lean(layout(strips), Size(COLUMNS, ROWS)).render_segments(RICH)
    assert memory.lean(layout(strips), Size(COLUMNS, ROWS)).render_segments(RICH) == ""


@pytest.mark.parametrize("how", ["forgotten", "resized"])
def test_everything_is_written_to_a_terminal_that_may_have_lost_it(how: str) -> None:
    memory = TerminalMemory()
    strips = [Strip([Segment("the same", STYLES[1])])] * ROWS
    memory.lean(layout(strips), Size(COLUMNS, ROWS)).render_segments(RICH)
    if how == "forgotten":
        memory.forget()
    again = memory.lean(layout(strips), Size(COLUMNS, ROWS + (how == "resized")))
    assert again.render_segments(RICH).count("the same") == ROWS


def test_a_digit_costs_a_digit() -> None:
    memory = TerminalMemory()
    for figure in "12":
        strip = Strip([Segment(f"─ data {figure} s ────────", STYLES[1])])
        written = memory.lean(layout([strip]), Size(COLUMNS, ROWS)).render_segments(RICH)
    assert written == "\x1b[1;8H" + STYLES[1].render("2", color_system=ColorSystem.TRUECOLOR)


async def test_the_app_hands_every_update_to_the_memory(
    paths: ProfilePaths, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Size] = []
    lean = TerminalMemory.lean
    monkeypatch.setattr(
        TerminalMemory, "lean", lambda self, update, size: lean(self, update, seen.append(size) or size)
    )
    async with Console.attached(paths) as console:
        before = len(seen)
        await peer.push(msgspec.structs.replace(peer.snapshot, seq=2, gate=snapshots.gate("stopped", 3)))
        await console.says("■ STOPPED")
        await console.until(lambda: len(seen) > before)


def test_another_size_is_written_in_full(served: ProfilePaths) -> None:
    # Textual takes the variables for the terminal's size.
    with TerminalConsole(served.state, served.runtime, COLUMNS="", LINES="") as console:
        console.shows("● RUNNING")
        console.shows("INSURANCE FUND")
        console.lose_everything(columns=110, rows=40)
        console.shows("INSURANCE FUND")
        console.shows("● RUNNING")
