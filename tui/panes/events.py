"""The event log: what happened, newest first, each with a shape for its level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from engine.api import wire
from tui import format as fmt
from tui.lines import Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.sifted_pane import SiftedPane
from tui.query import Facts, Number

_COLUMNS = (Column("time", 8), Column(" ", 1), Column("event", 10, stretch=True))
LEVELS = {
    "info": ("·", Tone.PLAIN),
    "attention": ("▲", Tone.ATTENTION),
    "danger": ("✕", Tone.DANGER),
    "ours": ("◆", Tone.OURS),
}


class EventsPane(SiftedPane[wire.EventRow]):
    """Rows are keyed by the event's number."""

    FIELDS: ClassVar[tuple[str, ...]] = ("level", "time")

    def __init__(self) -> None:
        super().__init__("4 EVENTS", _COLUMNS, name="events", tail=True)

    def on_mount(self) -> None:
        """Its columns need no titles."""
        self.table.show_header(shown=False)

    def key_of(self, thing: wire.EventRow) -> str:
        """The event's number."""
        return str(thing.seq)

    def row_of(self, thing: wire.EventRow) -> Row:
        """One line of the table."""
        return _row(thing)

    def facts_of(self, thing: wire.EventRow) -> Facts:
        """Times in Unix nanoseconds: they are for the order alone."""
        return {"level": thing.level, "text": thing.text, "time": Number(thing.at_ns)}

    def show_events(self, events: Sequence[wire.EventRow]) -> None:
        """Show the events, newest first."""
        newest = sorted(events, key=lambda event: -event.seq)
        self.show_things((), newest, line(Span("nothing happened yet", Tone.MUTED)))


def _row(event: wire.EventRow) -> Row:
    glyph, tone = LEVELS.get(event.level, ("·", Tone.PLAIN))
    return Row(
        str(event.seq),
        (Span(fmt.clock_time(event.at_ns), Tone.MUTED), Span(glyph, tone, bold=True), span(event.text, tone)),
    )
