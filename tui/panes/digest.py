"""Fund and latency in one line each, for terminals too small to show their panes beside the tables."""

from __future__ import annotations

from engine.api import wire
from tui.lines import Lines, Span
from tui.panes.fund import fund_digest
from tui.panes.latency import latency_digest


class Digest(Lines):
    """Two lines at the foot of the first page."""

    DEFAULT_CSS = """
    Digest { height: 2; }
    """

    def show_snapshot(self, snapshot: wire.Snapshot) -> None:
        """Show both."""
        self.show([(Span(" "), *fund_digest(snapshot.fund)), (Span(" "), *latency_digest(snapshot.latency))])
