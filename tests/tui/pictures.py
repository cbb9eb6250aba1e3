"""What a console shows, as a small SVG with one line of file for each line of screen: kept and compared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import ndiff
from itertools import zip_longest
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from textual.app import App

FOLDER = Path(__file__).parent / "pictures"
RENEW = "RENEW_PICTURES"
HOW_TO_RENEW = f"{RENEW}=1 pytest tests/tui/test_pictures.py"
_CELL_WIDTH, _CELL_HEIGHT = 8, 16
_MOST_TOLD = 40


def picture(app: App[object]) -> str:
    """The screen as it is now: every cell's text and style, and nothing that differs from run to run."""
    rows = [list(Segment.simplify(strip)) for strip in app.screen._compositor.render_strips()]
    classes: dict[str, str] = {}
    paper = _rules(app.screen.rich_style)[1]
    ground = _named(paper, classes)
    drawn = [_row(number, row, classes, ground) for number, row in enumerate(rows)]
    width, height = app.size.width * _CELL_WIDTH, app.size.height * _CELL_HEIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {width} {height}">',
            "<style>",
            "text{font:13.3px monospace}",
            *(f".{name}{{{rules}}}" for rules, name in classes.items()),
            "</style>",
            f'<rect class="{ground}" width="{width}" height="{height}"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _row(number: int, row: Sequence[Segment], classes: dict[str, str], ground: str) -> str:
    """One line of the screen: what is painted behind it, then its text run by run."""
    boxes, runs, column = "", "", 0
    for segment in row:
        ink, paper = _rules(segment.style or Style.null())
        cells = cell_len(segment.text)
        place = f'x="{column * _CELL_WIDTH}" y="{number * _CELL_HEIGHT}"'
        size = f'width="{cells * _CELL_WIDTH}" height="{_CELL_HEIGHT}"'
        if _named(paper, classes) != ground:
            boxes += f'<rect class="{_named(paper, classes)}" {place} {size}/>'
        runs += (
            f'<tspan class="{_named(ink, classes)}" x="{column * _CELL_WIDTH}">{escape(segment.text)}</tspan>'
        )
        column += cells
    return f'<g>{boxes}<text y="{number * _CELL_HEIGHT + 12}">{runs}</text></g>'


def _named(rules: str, classes: dict[str, str]) -> str:
    return classes.setdefault(rules, f"s{len(classes)}")


def _rules(style: Style) -> tuple[str, str]:
    """The CSS of a style's ink and of its paper."""
    ink, paper = _hex(style.color, is_ink=True), _hex(style.bgcolor, is_ink=False)
    if style.reverse:
        ink, paper = paper, ink
    marks = {
        "font-weight:bold": style.bold,
        "opacity:.6": style.dim,
        "text-decoration:underline": style.underline,
    }
    return ";".join([f"fill:{ink}", *(rule for rule, holds in marks.items() if holds)]), f"fill:{paper}"


def _hex(color: Color | None, *, is_ink: bool) -> str:
    return (color or Color.default()).get_truecolor(DIMMED_MONOKAI, foreground=is_ink).hex


def text_of(drawn: str) -> list[str]:
    """The text of a picture, line by line."""
    root = ElementTree.fromstring(drawn)
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()).rstrip() for text in texts]


def kept(name: str) -> str:
    """The picture that is kept under this name, empty when none is."""
    path = FOLDER / f"{name}.svg"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def is_renewing() -> bool:
    """Whether what is seen is to be kept, instead of compared."""
    return bool(os.environ.get(RENEW))


def keep(name: str, drawn: str) -> None:
    """Keep a picture under this name."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(drawn, encoding="utf-8")


def difference(name: str, before: str, after: str) -> str:
    """What differs, in words: lines of text, or the lines whose colours alone do."""
    if not before:
        return f"no picture {name}.svg is kept: look at the screen, then {HOW_TO_RENEW}"
    old, new = text_of(before), text_of(after)
    told = [row for row in ndiff(old, new) if row.startswith(("- ", "+ "))]
    if not told:
        pairs = zip_longest(before.splitlines(), after.splitlines(), fillvalue="")
        told = [f"colours: {new[at]}" for at, row in enumerate(_styled(pairs, len(new))) if row]
    seen = "\n".join(told[:_MOST_TOLD])
    return f"{name}.svg differs from the screen; if it is meant to: {HOW_TO_RENEW}\n{seen}"


def _styled(pairs: zip_longest[str], rows: int) -> list[bool]:
    """For each line of the screen whether its runs differ; the screen's lines are the last but one."""
    lines = list(pairs)
    return [one != other for one, other in lines[-rows - 1 : -1]]
