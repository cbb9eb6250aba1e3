"""What a terminal shows after these bytes: moves, colours and text, as the console writes them."""

from __future__ import annotations

import re

from rich.cells import get_character_cell_size

_SEQUENCE = re.compile(r"\x1b\[(\d*);?(\d*)H|\x1b\[([\d;]*)m|\x1b\[[?\d;]*[a-zA-Z]|(\n)|(.)", re.DOTALL)


class Drawn:
    """A terminal of so many cells. `cells` holds each line's characters with their colours' sequence."""

    def __init__(self, columns: int, rows: int) -> None:
        self.cells = [[(" ", "")] * columns for _ in range(rows)]
        self._x = self._y = 0
        self._style = ""

    def write(self, sequences: str) -> None:
        """Take what was written."""
        for row, column, style, newline, character in _SEQUENCE.findall(sequences):
            if character:
                self._put(character)
            elif newline:
                self._x, self._y = 0, self._y + 1
            elif row or column:
                self._x, self._y = int(column or 1) - 1, int(row or 1) - 1
            else:
                self._style = "" if style in ("", "0") else self._style + style

    def _put(self, character: str) -> None:
        width = get_character_cell_size(character)
        line = self.cells[self._y]
        if width == 0:
            before = max(0, self._x - 1)
            while before and line[before][0] == "":
                before -= 1
            line[before] = (line[before][0] + character, line[before][1])
            return
        if self._x + width > len(line):
            return
        if self._x and line[self._x][0] == "":
            line[self._x - 1] = (" ", "half overwritten")
        for offset in range(width):
            line[self._x + offset] = (character if offset == 0 else "", self._style)
        if self._x + width < len(line) and line[self._x + width][0] == "":
            line[self._x + width] = (" ", "half overwritten")
        self._x += width

    @property
    def text(self) -> str:
        """The characters, line by line."""
        return "\n".join("".join(character for character, _ in line) for line in self.cells)
