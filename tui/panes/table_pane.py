"""A rule with a live table under it: what the at-risk, queue, failed and events panes have in common."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from tui.lines import Line, Span, Tone, line
from tui.live_table import Column, LiveTable, Row
from tui.panes.rule import Rule

WAITING = line(Span("waiting for the engine", Tone.MUTED))


class TablePane(Vertical):
    """The pane `name` holds the table `name-table`."""

    DEFAULT_CSS = """
    TablePane { height: 1fr; }
    """

    def __init__(self, title: str, columns: Sequence[Column], *, name: str, tail: bool = False) -> None:
        super().__init__(id=name, classes="pane")
        self.rule = Rule(title)
        self.table = LiveTable(columns, id=f"{name}-table", tail=tail)

    def compose(self) -> ComposeResult:
        """The rule above the table."""
        yield self.rule
        yield self.table

    def on_mount(self) -> None:
        """Say what the pane waits for."""
        self.table.show((), WAITING)

    def on_descendant_focus(self) -> None:
        """The title lights up."""
        focused = self.screen.focused  # a newer key may have moved it on
        self.rule.show_active(active=focused is not None and self in focused.ancestors)

    def on_descendant_blur(self) -> None:
        """The title goes back."""
        self.rule.show_active(active=False)

    def show_keys(self) -> None:
        """Show that the table has the keys, or has not, before the news of it has come here."""
        has_keys = self.screen.focused is self.table
        self.rule.show_active(active=has_keys)
        self.table.show_focus(has_focus=has_keys)

    def show_age(self, age: Line) -> None:
        """Show at the rule's end how old the rows are."""
        self.rule.show_age(age)

    def show_rows(self, facts: Line, rows: Sequence[Row], empty: Line) -> None:
        """Show facts in the rule, and rows in the table or why there are none."""
        self.rule.show_facts(facts)
        self.table.show(rows, empty)
