"""Writes the cells that changed instead of the lines that were painted: a terminal far away is told little.

What Textual hands over is compared with what the terminal shows, cell by cell. Whenever the terminal may have
lost something, and from time to time, everything is written again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from rich.cells import get_character_cell_size
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import Console

_SHORTEST_GAP = 6  # unchanged cells in a row that cost more to write than to move over

Cell = tuple[str, Style | None]
_UNKNOWN: Cell = ("\0", None)


class TerminalMemory:
    """What the terminal shows, as far as it was written through here."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Cell]] = {}
        self._size = Size(0, 0)

    def forget(self) -> None:
        """The terminal may show anything: the next update of each line is written in full."""
        self._lines.clear()

    def lean(self, update: CompositorUpdate, size: Size) -> CompositorUpdate:
        """The same update without what a terminal of this size shows already; it is to be written at once."""
        if size != self._size:
            self._size = size
            self.forget()
        return LeanUpdate(update, self)

    def write(self, x: int, y: int, strip: Strip, console: Console) -> str:
        """What brings a strip onto the terminal at this place."""
        cells = _cells(strip)
        line = self._lines.setdefault(y, [])
        if len(line) < x + len(cells):
            line.extend([_UNKNOWN] * (x + len(cells) - len(line)))
        sequences = [
            Control.move_to(x + start, y).segment.text + _painted(cells[start:end]).render(console)
            for start, end in _runs(line, x, cells)
        ]
        line[x : x + len(cells)] = cells
        return "".join(sequences)


class LeanUpdate(CompositorUpdate):
    """An update that writes changed cells alone."""

    def __init__(self, update: CompositorUpdate, memory: TerminalMemory) -> None:
        self._update = update
        self._memory = memory

    def render_segments(self, console: Console) -> str:
        """The escape sequences; from now on the terminal shows it."""
        strips = _strips(self._update)
        if strips is None:
            self._memory.forget()
            return self._update.render_segments(console)
        return "".join(self._memory.write(x, y, strip, console) for x, y, strip in strips)


def _strips(update: CompositorUpdate) -> Iterator[tuple[int, int, Strip]] | None:
    """Where the update puts what; None for a kind that tells no places."""
    if isinstance(update, ChopsUpdate):
        return _chops(update)
    if isinstance(update, LayoutUpdate):
        x, y = update.region.offset
        return ((x, y + row, Strip.join(strips)) for row, strips in enumerate(update.strips))
    return None


def _chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    for y, begin, end in update.spans:
        for stop, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x < end and stop > begin:
                yield x, y, strip.crop(0, min(stop, end) - x)


def _cells(strip: Strip) -> list[Cell]:
    """A wide character's second cell is empty; what has no width joins the character before it."""
    cells: list[Cell] = []
    for text, style, _ in strip:
        if text.isascii():
            cells.extend([(character, style) for character in text])
            continue
        for character in text:
            width = get_character_cell_size(character)
            if width == 0 and cells:
                base = -1 if cells[-1][0] else -2
                cells[base] = (cells[base][0] + character, cells[base][1])
            elif width:
                cells.append((character, style))
                cells.extend([("", style)] * (width - 1))
    return cells


def _painted(cells: list[Cell]) -> Strip:
    """The cells as a strip; cropping the one that they came from would lose letters that have no width."""
    runs = groupby(cells, key=itemgetter(1))
    return Strip([Segment("".join(character for character, _ in run), style) for style, run in runs])


def _runs(shown: list[Cell], x: int, cells: list[Cell]) -> Iterator[tuple[int, int]]:
    """The runs of cells that differ from those shown from `x` on; runs that stand close together are one."""
    start = end = -1
    for index, cell in enumerate(cells):
        if cell == shown[x + index]:
            continue
        if start >= 0 and index - end > _SHORTEST_GAP:
            yield start, _whole_characters(cells, end)
            start = -1
        if start < 0:
            start = index
            while start and cells[start][0] == "":
                start -= 1
        end = index + 1
    if start >= 0:
        yield start, _whole_characters(cells, end)


def _whole_characters(cells: list[Cell], end: int) -> int:
    """The end of a run, behind the second half of its last character."""
    while end < len(cells) and cells[end][0] == "":
        end += 1
    return end
