"""Help, made from the bindings themselves, and the legend of shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

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
        Binding("escape,question_mark", "back", "Back", key_display="esc")
    ]

    def __init__(self, bindings: Iterable[tuple[str, Binding]]) -> None:
        super().__init__()
        self._help = help_lines(bindings)

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


def help_lines(bindings: Iterable[tuple[str, Binding]]) -> list[Line]:
    """Lines for (group, binding) pairs, one heading a group; bindings of one action share a line."""
    lines: list[Line] = []
    for group, members in groupby(bindings, key=lambda pair: pair[0]):
        lines += [line(Span(group, bold=True))]
        for _, same in groupby(members, key=lambda pair: (pair[1].action.partition("(")[0], pair[1].tooltip)):
            lines.append(_help_line([binding for _, binding in same]))
        lines.append(line(""))
    return [*lines, line(Span("Shapes", bold=True)), *((Span("  "), *shape) for shape in _SHAPES)]


def _help_line(same: Sequence[Binding]) -> Line:
    keys = " ".join(binding.key_display or binding.key.replace(",", " ") for binding in same)
    what = ", ".join(binding.description for binding in same)
    return line(
        Span(f"  {keys:<{_KEY_CELLS}}", Tone.OURS),
        Span(f"{what:<{_WHAT_CELLS}}"),
        Span(same[0].tooltip, Tone.MUTED),
    )
