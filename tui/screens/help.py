"""Help, made from the bindings themselves, and the legend of shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

from tui.keymap import shown_key
from tui.lines import Line, Lines, Span, Tone, line
from tui.panes.banner import Banner
from tui.panes.keybar import KeyBar
from tui.state import ConsoleState

_KEY_CELLS, _WHAT_CELLS = 18, 26
_SHAPES: tuple[Line, ...] = (
    line(
        Span("●", Tone.HEALTHY), " running              ", Span("■", Tone.DANGER), " stopped: nothing is sent"
    ),
    line(Span("◐", Tone.ATTENTION), " starting, standby    ", Span("▲", Tone.ATTENTION), " look at it"),
    line(Span("✕", Tone.DANGER), " disconnected, failed ", Span("◆", Tone.OURS), " done by the engine"),
)


class HelpScreen(Screen[None]):
    """Every key of the console, what it does, and what the shapes mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark", "back", "Back", key_display="esc", id="help.back")
    ]

    def __init__(self, groups: Sequence[tuple[str, Sequence[Binding]]], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._help = help_lines(groups, keymap)

    def compose(self) -> ComposeResult:
        """The banner stays."""
        yield Banner()
        with VerticalScroll(id="help-body"):
            yield Lines(id="help-text")
        yield KeyBar()

    def on_mount(self) -> None:
        """Show the lines."""
        self.query_one("#help-text", Lines).show(self._help)

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """Only the banner follows the engine here."""
        self.query_one(Banner).show_state(state, now_ns)

    def action_back(self) -> None:
        """Back to where the operator came from."""
        self.dismiss(None)


def help_lines(groups: Sequence[tuple[str, Sequence[Binding]]], keymap: Mapping[str, str]) -> list[Line]:
    """Lines for groups of bindings, each under its heading; bindings of one action share a line."""
    lines: list[Line] = []
    for group, members in groups:
        lines += [line(Span(group, bold=True))]
        for _, same in groupby(members, key=lambda each: (each.action.partition("(")[0], each.tooltip)):
            lines.append(_help_line(list(same), keymap))
        lines.append(line(""))
    return [*lines, line(Span("Shapes", bold=True)), *((Span("  "), *shape) for shape in _SHAPES)]


def _help_line(same: Sequence[Binding], keymap: Mapping[str, str]) -> Line:
    keys = " ".join(shown_key(binding, keymap) for binding in same)
    what = ", ".join(dict.fromkeys(binding.description for binding in same))
    names = " ".join(dict.fromkeys(binding.id for binding in same if binding.id))
    return line(
        Span(f"  {keys:<{_KEY_CELLS}} ", Tone.OURS),
        Span(f"{what:<{_WHAT_CELLS}} "),
        Span(f"{same[0].tooltip}  " if same[0].tooltip else "", Tone.MUTED),
        Span(f"[{names}]", Tone.MUTED),
    )
