"""Coloured lines of text, and the widget that repaints only those of its lines that changed.

Nothing here parses markup: a line is spans of plain text with a tone. Text is cleaned once more as it becomes
a span, so that no string can reach the terminal as anything but text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from textwrap import wrap
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from engine.api.clean import clean

_LONGEST_SPAN = 1_000
_NARROWEST_TEXT = 20


class Tone(StrEnum):
    """What a colour means. PLAIN is the terminal's own colour, MUTED is for rules and headers."""

    PLAIN = "plain"
    MUTED = "muted"
    HEALTHY = "healthy"
    ATTENTION = "attention"
    DANGER = "danger"
    OURS = "ours"


class Span(NamedTuple):
    """A run of text in one tone; `action` is what a click on it does, in Textual's action syntax."""

    text: str
    tone: Tone = Tone.PLAIN
    bold: bool = False
    action: str | None = None


Line = tuple[Span, ...]


def span(text: str, tone: Tone = Tone.PLAIN, *, bold: bool = False) -> Span:
    """A span of text that may come from outside."""
    return Span(clean(text, _LONGEST_SPAN), tone, bold)


def line(*parts: Span | str) -> Line:
    """A line from spans and plain texts."""
    return tuple(part if isinstance(part, Span) else span(part) for part in parts)


def width_of(parts: Iterable[Span]) -> int:
    """The cells that spans take."""
    return sum(cell_len(part.text) for part in parts)


def spread(left: Line, right: Line, width: int) -> Line:
    """`left` and `right` at the two ends of `width` cells; the left one gives way when both do not fit."""
    room = width - width_of(right)
    used = width_of(left)
    if used < room:
        return (*left, Span(" " * (room - used)), *right)
    return (*cut(left, room - 1), Span(" "), *right)


def padded(parts: Line, width: int) -> Line:
    """The line in exactly `width` cells."""
    fitted = cut(parts, width)
    return (*fitted, Span(" " * (width - width_of(fitted))))


def cut(parts: Line, width: int) -> Line:
    """The line within `width` cells, ending in an ellipsis where it was cut."""
    if width_of(parts) <= width:
        return parts
    kept: list[Span] = []
    room = width - 1
    for part in parts:
        taken = min(room, cell_len(part.text))
        if taken > 0:
            kept.append(part._replace(text=set_cell_size(part.text, taken)))
        room -= taken
    return (*kept, Span("…", Tone.MUTED)) if width > 0 else ()


def broken(parts: Line, width: int) -> tuple[Line, Line]:
    """The line in two, the first within `width` cells, broken at a space of its last span if it has one."""
    *kept, last = parts
    room = max(0, width - width_of(kept))
    head = set_cell_size(last.text, room)
    if cell_len(last.text) <= room:
        return parts, ()
    at = head.rfind(" ") + 1 or len(head)
    return (*kept, last._replace(text=last.text[:at])), (last._replace(text=last.text[at:]),)


def wrapped(text: str, width: int, tone: Tone = Tone.PLAIN, *, indent: int = 1) -> list[Line]:
    """Text that may come from outside, in as many lines of `width` cells as it needs, broken at blanks."""
    room = max(_NARROWEST_TEXT, width - indent)
    rows = wrap(span(text).text, room, break_on_hyphens=False)
    return [line(Span(" " * indent), Span(row, tone)) for row in rows]


class Painted(Widget):
    """A widget that knows the style of each tone in the theme in force."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in Tone}
    DEFAULT_CSS = """
    Painted {
        & > .tone--healthy { color: $success; }
        & > .tone--attention { color: $warning; }
        & > .tone--danger { color: $error; }
        & > .tone--ours { color: $accent; }
        & > .tone--muted { color: $text-muted; }
        &:ansi > .tone--muted { color: ansi_default; text-style: dim; }
    }
    """

    def style_of(self, part: Span, overlay: Style | None = None) -> Style:
        """The Rich style of a span; an overlay (a cursor, a banner) replaces the tone's colour."""
        if overlay is None:
            style = self.get_component_rich_style(f"tone--{part.tone}")
            if part.bold:
                style += Style(bold=True)
        else:
            style = overlay
        if part.action:
            style += Style(meta={"@click": part.action})
        return style

    def strip_of(self, parts: Line, width: int, overlay: Style | None = None) -> Strip:
        """One painted line of exactly `width` cells."""
        fitted = cut(parts, width)
        segments = [Segment(part.text, self.style_of(part, overlay)) for part in fitted if part.text]
        blank = overlay if overlay is not None else self.get_component_rich_style("tone--plain")
        # Joined segments: each would cost the terminal its own colour codes.
        return Strip(segments).adjust_cell_length(width, blank).simplify()


class Lines(Painted):
    """Shows lines, top down; `show` repaints those that differ, and lays out anew when their number does."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []

    @property
    def lines(self) -> Sequence[Line]:
        """What is shown."""
        return self._lines

    @property
    def plain(self) -> str:
        """What is shown, as text."""
        return "\n".join("".join(part.text for part in shown) for shown in self._lines)

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines instead."""
        old, self._lines = self._lines, list(lines)
        if len(old) != len(self._lines):
            self.refresh(layout=self.styles.height is not None and self.styles.height.is_auto)
            return
        for row, (before, after) in enumerate(zip(old, self._lines, strict=True)):
            if before != after:
                self.refresh(Region(0, row, self.size.width, 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's signature
        """As high as the lines."""
        return len(self._lines)

    def overlay(self) -> Style | None:
        """A style over everything, or None for each tone's own."""
        return None

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        parts = self._lines[y] if y < len(self._lines) else ()
        return self.strip_of(parts, self.size.width, self.overlay())
