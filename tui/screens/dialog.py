"""The box in the middle that all dialogs are: it names what it is about, and nothing happens by accident.

Cancel has the focus, escape cancels, and the key that confirms is never the one that opened the dialog.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from tui.lines import Line, Lines, Span, Tone, broken, line, width_of

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A modal box with a title, lines of text, anything in the middle, and a row of choices."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="dialog.cancel"),
        Binding("left", "app.focus_previous", "Previous", show=False, id="dialog.previous"),
        Binding("right", "app.focus_next", "Next", show=False, id="dialog.next"),
    ]

    def __init__(self, title: str, text: Sequence[Line]) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._text = list(text)

    def compose(self) -> ComposeResult:
        """Title, text, middle, choices."""
        with Vertical(id="box") as box:
            box.border_title = self._title
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
        """Lines that have become too long go on in the next one."""
        self.call_after_refresh(self._draw_text)

    def _draw_text(self) -> None:
        shown = self.query_one("#text", Lines)
        width = shown.size.width
        shown.show([each for whole in self._text for each in _folded(whole, width)] if width else self._text)

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
