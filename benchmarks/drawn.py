"""What a terminal shows after these bytes: moves, colours and text, as the console writes them."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder

from rich.cells import get_character_cell_size

_SEQUENCE = re.compile(
    r"\x1b\[(?P<mark>[<-?]?)(?P<numbers>[\d;:]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b[]P_^X][^\x07\x1b]*(?:\x07|\x1b\\)"  # the pointer's shape, the clipboard
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
    r"|(?P<begun>\x1b.*)"  # the rest comes with the next bytes
    r"|(?P<control>[\x00-\x1a\x1c-\x1f])"
    r"|(?P<text>[^\x00-\x1f]+)",
    re.DOTALL,
)
_ALTERNATE_SCREEN = "1049"


class Drawn:
    """A terminal of so many cells. `cells` holds each line's characters with their colours' sequence.

    `written` counts the characters so far: a moment of it tells what is on the screen since.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self.written = 0
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._begun = ""
        self._clear()

    def take(self, read: bytes) -> None:
        """Take what was read from a terminal; it may end within a character or a sequence."""
        self.write(self._decode(read))

    def write(self, sequences: str) -> None:
        """Take what was written."""
        sequences, self._begun = self._begun + sequences, ""
        for found in _SEQUENCE.finditer(sequences):
            if found["text"]:
                for character in found["text"]:
                    self._put(character)
            elif found["final"]:
                self._obey(found["mark"], found["numbers"], found["final"])
            elif found["control"]:
                self._control(found["control"])
            elif found["begun"]:
                self._begun = found["begun"]

    def shows(self, text: str | re.Pattern[str], since: int = 0) -> bool:
        """Whether it is on a line of the screen, and some of it was written after the first `since`."""
        pattern = text if isinstance(text, re.Pattern) else re.compile(re.escape(text))
        for line, moments in zip(self.cells, self._moments, strict=True):
            letters = "".join(character for character, _ in line)
            for found in pattern.finditer(letters):
                of_letters = [moment for (cell, _), moment in zip(line, moments, strict=True) for _ in cell]
                if max(of_letters[slice(*found.span())], default=0) > since:
                    return True
        return False

    @property
    def text(self) -> str:
        """The characters, line by line."""
        return "\n".join("".join(character for character, _ in line) for line in self.cells)

    def _clear(self) -> None:
        self.cells = [[(" ", "")] * self._columns for _ in range(self._rows)]
        self._moments = [[0] * self._columns for _ in range(self._rows)]
        self._x = self._y = 0
        self._style = ""

    def _obey(self, mark: str, numbers: str, final: str) -> None:
        if mark:
            if numbers == _ALTERNATE_SCREEN:
                self._clear()
        elif final == "H":
            row, _, column = numbers.partition(";")
            self._x, self._y = int(column or 1) - 1, int(row or 1) - 1
        elif final == "m":
            self._style = "" if numbers in ("", "0") else self._style + numbers

    def _control(self, character: str) -> None:
        if character == "\r":
            self._x = 0
        elif character == "\n":
            self._x, self._y = 0, self._y + 1

    def _put(self, character: str) -> None:
        if self._y >= self._rows:
            return
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
        self.written += 1
        for offset in range(width):
            line[self._x + offset] = (character if offset == 0 else "", self._style)
            self._moments[self._y][self._x + offset] = self.written
        if self._x + width < len(line) and line[self._x + width][0] == "":
            line[self._x + width] = (" ", "half overwritten")
        self._x += width
