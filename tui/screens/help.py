"""Help, made from the bindings themselves, and the legend of shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from tui.keymap import shown_key
from tui.lines import Line, Lines, Span, Tone, line, width_of, wrapped
from tui.screens.full_screen import FullScreen

_KEY_CELLS, _WHAT_CELLS = 15, 20
_BEGIN_CELLS = 2 + _KEY_CELLS + 1 + _WHAT_CELLS + 1
_BAR_CELLS = 6  # of the frame and the scroll bar, beside the text
_LEAST_BESIDE = 34  # in less room what a key does stands below its name
_BELOW_CELLS = 6
_SHAPES: tuple[Line, ...] = (
    line(
        Span("●", Tone.HEALTHY), " running              ", Span("■", Tone.DANGER), " stopped: nothing is sent"
    ),
    line(Span("◐", Tone.ATTENTION), " starting, standby    ", Span("▲", Tone.ATTENTION), " look at it"),
    line(Span("✕", Tone.DANGER), " disconnected, failed ", Span("◆", Tone.OURS), " done by the engine"),
)


class HelpScreen(FullScreen):
    """Every key of the console, what it does, and what the shapes mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark", "back", "Back", key_display="esc", id="help.back")
    ]

    def __init__(self, groups: Sequence[tuple[str, Sequence[Binding]]], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._groups = groups
        self._keymap = keymap

    def content(self) -> Iterable[Widget]:
        """All of it in one scroll."""
        with VerticalScroll(id="help-body"):
            yield Lines(id="help-text")

    def opened(self) -> None:
        """The keys scroll."""
        self.query_one(VerticalScroll).focus()

    def resized(self) -> None:
        """Show the lines, each as long as there is room."""
        shown = help_lines(self._groups, self._keymap, self.size.width - _BAR_CELLS)
        self.query_one("#help-text", Lines).show(shown)

    def action_back(self) -> None:
        """Back to where the operator came from."""
        self.dismiss(None)


def help_lines(
    groups: Sequence[tuple[str, Sequence[Binding]]], keymap: Mapping[str, str], width: int
) -> list[Line]:
    """Lines for groups of bindings, each under its heading; bindings of one action share an entry."""
    lines: list[Line] = []
    for group, members in groups:
        lines += [line(Span(group, bold=True))]
        for _, same in groupby(members, key=lambda each: (each.action.partition("(")[0], each.tooltip)):
            lines += _entry(list(same), keymap, width)
        lines.append(line(""))
    return [*lines, line(Span("Shapes", bold=True)), *((Span("  "), *shape) for shape in _SHAPES)]


def _entry(same: Sequence[Binding], keymap: Mapping[str, str], width: int) -> list[Line]:
    keys = " ".join(shown_key(binding, keymap) for binding in same)
    what = ", ".join(dict.fromkeys(binding.description for binding in same))
    names = " ".join(dict.fromkeys(binding.id for binding in same if binding.id))
    begin = line(Span(f"  {keys:<{_KEY_CELLS}} ", Tone.OURS), Span(f"{what:<{_WHAT_CELLS}} "))
    told = f"{same[0].tooltip} [{names}]" if same[0].tooltip else f"[{names}]"
    if width - _BEGIN_CELLS < _LEAST_BESIDE:
        return [begin, *wrapped(told, width, Tone.MUTED, indent=_BELOW_CELLS)]
    # What is named at length pushes its own first line only.
    first, *more = wrapped(told, width - (width_of(begin) - _BEGIN_CELLS), Tone.MUTED, indent=_BEGIN_CELLS)
    return [(*begin, *first[1:]), *more]
