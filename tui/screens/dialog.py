"""The box in the middle that all dialogs are: it names what it is about, and nothing happens by accident.

Cancel has the focus, escape cancels, and the key that confirms is never the one that opened the dialog.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from tui.lines import Line, Lines, Span, Tone, broken, line, width_of

Answer = TypeVar("Answer")

_KEPT_LINES = 2  # of the screen below: how the engine is, and the keys


class Dialog(ModalScreen[Answer]):
    """A modal box with a title, lines of text, anything in the middle, and a row of choices."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel"),
        Binding("left", "app.focus_previous", "Previous", show=False, id="dialog.previous"),
        Binding("right", "app.focus_next", "Next", show=False, id="dialog.next"),
        Binding("up", "scroll_said(-1)", "Up", show=False, id="dialog.up"),
        Binding("down", "scroll_said(1)", "Down", show=False, id="dialog.down"),
    ]

    def __init__(self, title: str, text: Sequence[Line]) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._text = list(text)
        self._room = 0  # lines for what is said, and for the hint where all of that can be seen

    def compose(self) -> ComposeResult:
        """Title, text, middle, choices."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            with VerticalScroll(id="said", can_focus=False):
                yield Lines(id="text")
                yield from self.middle()
            with Horizontal(id="choices"):
                yield from self.choices()
            yield Lines(id="hint")

    def middle(self) -> Iterable[Widget]:
        """What stands between the text and the choices."""
        return ()

    def choices(self) -> Iterable[Widget]:
        """The buttons, the safe one first: it gets the focus."""
        yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Show the text, free of notes from before; the first choice gets the focus."""
        self.app.clear_notifications()
        self._draw_text()
        self.query_one("#hint", Lines).show([line(Span("ctrl+e stops at once, also from here", Tone.MUTED))])
        self.query(Button).first().focus()

    def show_text(self, text: Sequence[Line]) -> None:
        """Show other text, now or when the dialog is up."""
        self._text = list(text)
        if self.is_mounted:
            self._draw_text()

    def on_resize(self) -> None:
        """Lines that have become too long go on in the next one, and choices below each other."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """The choices stay to be seen, and the banner's first line and the keys; what is said scrolls."""
        choices = self.query_one("#choices")
        buttons = list(choices.query(Button))
        side_by_side = sum(button.outer_size.width + button.styles.margin.width for button in buttons)
        is_stacked = side_by_side > choices.size.width
        choices.set_class(is_stacked, "-stacked")
        below = choices.styles.margin.height + (len(buttons) if is_stacked else 1)
        around = self.query_one("#box").gutter.height + _KEPT_LINES
        self._room = max(1, self.size.height - around - below)
        self._draw_text()

    def _draw_text(self) -> None:
        said, text, hint = self.query_one("#said"), self.query_one("#text", Lines), self.query_one("#hint")
        width = said.outer_size.width
        if not width:
            text.show(self._text)
            return
        shown = self._folded(width)
        needed = len(shown) + sum(each.outer_size.height for each in said.children if each is not text)
        room_of_hint = hint.styles.margin.height + 1
        hint.display = needed <= self._room - room_of_hint
        said.styles.max_height = self._room - (room_of_hint if hint.display else 0)
        # A scroll bar takes a cell of every line.
        text.show(shown if needed <= self._room else self._folded(width - 1))

    def _folded(self, width: int) -> list[Line]:
        return [each for whole in self._text for each in _folded(whole, width)]

    def action_scroll_said(self, lines: int) -> None:
        """Move what is said by so many lines, where it has no room."""
        self.query_one("#said").scroll_relative(y=lines, animate=False)

    def action_cancel(self) -> None:
        """Close with no answer."""
        self.dismiss(None)


def _folded(whole: Line, width: int) -> list[Line]:
    """A line in as many as it needs; what cannot be broken in its last span stays, and is cut."""
    folded: list[Line] = []
    rest = whole
    while width_of(rest) > width:
        first, rest = broken(rest, width)
        if width_of(first) > width or not rest:
            return [*folded, whole if not folded else first]
        folded.append(first)
    return [*folded, rest]
