"""The console in letters that every terminal has: each glyph becomes an ASCII one of the same width."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

# What carries a meaning keeps one: a shape becomes another shape, a level another level.
_GLYPHS = {
    **dict(zip("●■◐▲✕◆▸▴▾‖◎", "*#o!x+>^v|@", strict=True)),
    **dict.fromkeys("┤├┼┐┌┬┴└┘╭╮╰╯", "+"),
    **dict(zip("─│═║", "-|=|", strict=True)),
    **dict(zip("…·–—−×→←↑↓≈±≥≤“”‘’", "~.---x><^v~~><\"\"''", strict=True)),
    **dict(zip("━╸░▒▓┃▁▂▃▄▅▆▇█", "=-.:%|_.-=+*%#", strict=True)),
    **dict.fromkeys("▘▝▀▖▌▞▛▗▚▐▜▙▟", "#"),
    **dict.fromkeys("▊▎▔▕▏▍▋▉", " "),
}


def to_ascii(text: str) -> str:
    """The text in as many cells of ASCII; a letter keeps its base, anything else becomes question marks."""
    return text if text.isascii() else "".join(_ascii(character) for character in text)


@lru_cache(4_096)
def _ascii(character: str) -> str:
    if character.isascii():
        return character
    known = _GLYPHS.get(character)
    if known is not None:
        return known
    width = cell_len(character)
    base = unicodedata.normalize("NFKD", character)[:1]
    return base if base.isascii() and base.isprintable() and width == 1 else "?" * width


class AsciiFilter(LineFilter):
    """Rewrites every painted line, those of dialogs, notes and charts too."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        """The segments in ASCII."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]
