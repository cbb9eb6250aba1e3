"""The main screen: all panes of one snapshot, in one page on a wide terminal and in two on a narrow one."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen

from engine.api import wire
from tui.lines import Lines, Span, Tone, line
from tui.live_table import LiveTable
from tui.panes.at_risk import AtRiskPane
from tui.panes.banner import Banner
from tui.panes.digest import Digest
from tui.panes.divider import Divider
from tui.panes.events import EventsPane
from tui.panes.failed import FailedPane
from tui.panes.fund import FundPane
from tui.panes.keybar import KeyBar
from tui.panes.latency import LatencyPane
from tui.panes.prices import PricesPane
from tui.panes.queue import QueuePane
from tui.panes.table_pane import TablePane
from tui.panes.totals import TotalsPane
from tui.places import place_bindings
from tui.sizes import MIN_COLUMNS, MIN_ROWS, TALL_ROWS
from tui.state import NS_PER_MS, ConsoleState, is_stopped

_PANES: tuple[type[TablePane], ...] = (AtRiskPane, QueuePane, FailedPane, EventsPane)


class MainScreen(Screen[None]):
    """Shows states; asks the app for everything that reaches the engine."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "r", "retry", "Retry", tooltip="try the failed liquidation under the cursor again; asks first"
        ),
        Binding(
            "d",
            "dismiss_failed",
            "Dismiss",
            tooltip="take the failed liquidation off the list; its record stays",
        ),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="at-risk positions by any text"),
        Binding("p", "pause", "Pause", tooltip="hold the display still; the engine goes on"),
        Binding("c", "clear_queue", "Clear queue", tooltip="drop what is queued and not signed; asks first"),
        Binding(
            "tab", "next_pane(1)", "Next pane", tooltip="the next pane, and on small terminals the next page"
        ),
        Binding("shift+tab", "next_pane(-1)", "Previous pane", show=False),
        Binding("1", "pane(0)", "At risk", show=False),
        Binding("2", "pane(1)", "Queue", show=False),
        Binding("3", "pane(2)", "Failed", show=False),
        Binding("4", "pane(3)", "Events", show=False),
        *place_bindings(show=True),
    ]

    class WantsRetry(Message):
        """The operator wants this failed liquidation tried again, as it was when the key was pressed."""

        def __init__(self, row: wire.FailedRow) -> None:
            super().__init__()
            self.row = row

    class WantsDismissal(Message):
        """The operator wants this failed liquidation off the list."""

        def __init__(self, row: wire.FailedRow) -> None:
            super().__init__()
            self.row = row

    class WantsDetail(Message):
        """The operator wants to see this position."""

        def __init__(self, address: str) -> None:
            super().__init__()
            self.address = address

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: wire.Snapshot | None = None

    def compose(self) -> ComposeResult:
        """Tables on the left, figures on the right."""
        yield Banner()
        yield Lines(id="too-small")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield AtRiskPane()
                yield QueuePane()
                yield FailedPane()
                yield Digest(id="digest")
                yield EventsPane()
            yield Divider(id="divider")
            with Vertical(id="right"):
                yield FundPane(id="fund")
                yield LatencyPane(id="latency")
                yield TotalsPane(id="totals")
                yield PricesPane(id="prices")
        yield KeyBar()

    def on_mount(self) -> None:
        """The worst positions have the keys first."""
        self.query_one(AtRiskPane).table.focus()

    def on_resize(self) -> None:
        """Say what is missing when there is too little room; titles of the small tables need room too."""
        self.query_one("#too-small", Lines).show(
            [
                line(""),
                line(
                    Span(" too small", Tone.ATTENTION, bold=True),
                    f": {MIN_COLUMNS}×{MIN_ROWS} is needed, this is {self.size.width}×{self.size.height}.",
                ),
                line(Span(" ctrl+e still stops.", Tone.DANGER, bold=True)),
            ]
        )
        tall = self.size.height >= TALL_ROWS
        self.query_one(QueuePane).table.show_header(shown=tall)
        self.query_one(FailedPane).table.show_header(shown=tall)

    # What is shown

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner follows every state, the panes follow the snapshot unless the display is held."""
        self.query_one(Banner).show_state(state, now_ns)
        snapshot = state.snapshot
        if snapshot is not None and snapshot is not self._snapshot and not state.paused_ns:
            self._snapshot = snapshot
            self._show_snapshot(snapshot, stopped=is_stopped(state))

    def _show_snapshot(self, snapshot: wire.Snapshot, *, stopped: bool) -> None:
        now_ns = snapshot.taken_at_ns
        self.query_one(AtRiskPane).show_positions(snapshot.book, snapshot.at_risk)
        self.query_one(QueuePane).show_queue(snapshot, stopped=stopped)
        self.query_one(FailedPane).show_failed(snapshot)
        self.query_one(EventsPane).show_events(snapshot.events)
        self.query_one(FundPane).show_fund(snapshot.fund, now_ns)
        self.query_one(LatencyPane).show_latency(snapshot.latency)
        self.query_one(TotalsPane).show_totals(
            snapshot.totals, (now_ns - snapshot.engine.started_at_ns) // NS_PER_MS
        )
        self.query_one(PricesPane).show_prices(snapshot.prices, now_ns, snapshot.oracle)
        self.query_one(Digest).show_snapshot(snapshot)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Dim the keys that would do nothing; retry and dismiss act only where their cursor is seen."""
        if action in ("retry", "dismiss_failed"):
            failed = self.query_one(FailedPane)
            return True if failed.table.has_focus and failed.under_cursor() else None
        if action == "clear_queue":
            return True if self._snapshot is not None and self._snapshot.queue_length else None
        return True

    def action_retry(self) -> None:
        """Ask for a retry of the failed liquidation under the cursor."""
        row = self.query_one(FailedPane).under_cursor()
        if row is not None:
            self.post_message(self.WantsRetry(row))

    def action_dismiss_failed(self) -> None:
        """Ask to dismiss the failed liquidation under the cursor."""
        row = self.query_one(FailedPane).under_cursor()
        if row is not None:
            self.post_message(self.WantsDismissal(row))

    async def action_clear_queue(self) -> None:
        """Ask to clear the queue."""
        await self.app.run_action("app.clear_queue")

    async def action_pause(self) -> None:
        """Hold the display, or let it go."""
        await self.app.run_action("app.pause")

    def action_filter(self) -> None:
        """Type a filter for the at-risk pane."""
        self._turn_to(AtRiskPane)
        self.query_one(AtRiskPane).open_filter()

    def action_pane(self, index: int) -> None:
        """Give the keys to a pane."""
        pane = _PANES[index]
        self._turn_to(pane)
        self.query_one(pane).table.focus()

    def action_next_pane(self, step: int) -> None:
        """Give the keys to the next pane, or the one before."""
        focused = [index for index, pane in enumerate(_PANES) if self.query_one(pane).has_focus_within]
        here = focused[0] if focused else -1 if step > 0 else 0
        self.action_pane((here + step) % len(_PANES))

    def _turn_to(self, pane: type[TablePane]) -> None:
        """Show the page of a pane; on wide terminals there is only one."""
        self.set_class(pane is EventsPane, "-second-page")

    @on(LiveTable.Chosen)
    def _choose(self, event: LiveTable.Chosen) -> None:
        event.stop()
        address: str | None = None
        if event.table is self.query_one(AtRiskPane).table:
            address = event.key
        elif event.table is self.query_one(QueuePane).table:
            address = self.query_one(QueuePane).address_of(event.key)
        elif (failed := self.query_one(FailedPane).row_of(event.key)) is not None:
            address = failed.address
        if address is not None:
            self.post_message(self.WantsDetail(address))
