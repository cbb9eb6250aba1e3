"""The main screen: all panes of one snapshot, in one page on a wide terminal and in two on a narrow one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Input

from engine.api import wire
from tui.commands import COMMANDING
from tui.live_table import LiveTable
from tui.panes.at_risk import AtRiskPane
from tui.panes.digest import Digest
from tui.panes.divider import Divider
from tui.panes.events import EventsPane
from tui.panes.failed import FailedPane
from tui.panes.figures import Figures
from tui.panes.fund import FundPane
from tui.panes.latency import LatencyPane
from tui.panes.prices import PricesPane
from tui.panes.queue import QueuePane
from tui.panes.rule import age_mark
from tui.panes.sifted_pane import SiftedPane
from tui.panes.totals import TotalsPane
from tui.places import place_bindings
from tui.screens.full_screen import FullScreen
from tui.sizes import TALL_ROWS
from tui.state import NS_PER_MS, ConsoleState, is_stopped, may_command

_TABLES: tuple[type[SiftedPane[Any]], ...] = (AtRiskPane, QueuePane, FailedPane, EventsPane)
_FIGURES: tuple[type[Figures], ...] = (FundPane, LatencyPane, TotalsPane, PricesPane)
_PANES: tuple[type[SiftedPane[Any]] | type[Figures], ...] = (*_TABLES, *_FIGURES)
_PANE_KEYS = (
    ("1,A", "At risk", "main.at_risk"),
    ("2,Q", "Queue", "main.queue"),
    ("3,F", "Failed", "main.failed"),
    ("4,E", "Events", "main.events"),
    ("5,I", "Fund", "main.fund"),
    ("6,L", "Latency", "main.latency"),
    ("7,T", "Totals", "main.totals"),
    ("8,P", "Prices", "main.prices"),
)


def _pane_bindings() -> list[BindingType]:
    """The keys of the panes, with priority: none passes through all the widgets around the cursor first."""
    return [
        Binding(
            keys,
            f"pane({index})",
            title,
            show=False,
            id=name,
            priority=True,
            tooltip="figures" if issubclass(pane, Figures) else "",
        )
        for index, (pane, (keys, title, name)) in enumerate(zip(_PANES, _PANE_KEYS, strict=True))
    ]


class MainScreen(FullScreen):
    """Shows states; asks the app for everything that reaches the engine."""

    # Textual paints the whole screen when the focus moves; here the panes that it leaves and enters do.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "r",
            "retry",
            "Retry",
            id="main.retry",
            tooltip="try the failed liquidation under the cursor again; asks first",
        ),
        Binding(
            "R",
            "retry_alike",
            "Retry alike",
            show=False,
            id="main.retry_alike",
            tooltip="try all again that failed like the one under the cursor; asks for a typed word",
        ),
        Binding(
            "d",
            "dismiss_failed",
            "Dismiss",
            id="main.dismiss",
            tooltip="take the failed liquidation off the list; its record stays",
        ),
        Binding(
            "c",
            "clear_queue",
            "Clear queue",
            id="main.clear_queue",
            tooltip="drop what is queued and not signed; asks first",
        ),
        Binding(
            "y", "copy", "Copy address", show=False, id="main.copy", tooltip="of the row under the cursor"
        ),
        Binding(
            "x", "explore", "Explorer", show=False, id="main.explore", tooltip="this position in the explorer"
        ),
        Binding("z", "zoom", "Zoom", id="main.zoom", tooltip="the whole screen for one pane, and back"),
        Binding(
            "tab",
            "next_pane(1)",
            "Next pane",
            id="main.next_pane",
            tooltip="the next pane, and on small terminals the next page",
        ),
        Binding("shift+tab", "next_pane(-1)", "Pane before", show=False, id="main.pane_before"),
        *_pane_bindings(),
        *place_bindings(show=True),
    ]

    class WantsRetry(Message):
        """The operator wants this failed liquidation tried again, as it was when the key was pressed."""

        def __init__(self, row: wire.FailedRow) -> None:
            super().__init__()
            self.row = row

    class WantsRetryOfAll(Message):
        """The operator wants all these tried again: those that failed in the same way when it was pressed."""

        def __init__(self, outcome: str, rows: Sequence[wire.FailedRow]) -> None:
            super().__init__()
            self.outcome = outcome
            self.rows = tuple(rows)

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

    class WantsCopy(Message):
        """The operator wants this text in the clipboard."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class WantsExplorer(Message):
        """The operator wants to see this account where others look at it."""

        def __init__(self, address: str) -> None:
            super().__init__()
            self.address = address

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: wire.Snapshot | None = None
        self._may_command = True

    def content(self) -> Iterable[Widget]:
        """Tables on the left, figures on the right."""
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

    def opened(self) -> None:
        """The worst positions have the keys first."""
        self.query_one(AtRiskPane).table.focus()

    def resized(self) -> None:
        """Titles of the small tables need room."""
        self._show_titles()

    def _show_titles(self) -> None:
        """The small tables have column titles where there is room for them."""
        tall = self.size.height >= TALL_ROWS
        for pane in (self.query_one(QueuePane), self.query_one(FailedPane)):
            pane.table.show_header(shown=tall or pane.has_class("-zoomed"))

    # What is shown

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner follows every state, the panes follow the snapshot unless the display is held."""
        super().show_state(state, now_ns)
        self._may_command = may_command(state)
        snapshot = state.snapshot
        if snapshot is not None and snapshot is not self._snapshot and not state.paused_ns:
            self._snapshot = snapshot
            self._show_snapshot(snapshot, stopped=is_stopped(state))
        if self._snapshot is not None:
            self._show_ages(max(0, now_ns - self._snapshot.taken_at_ns) // NS_PER_MS)

    def _show_ages(self, age_ms: int) -> None:
        mark = age_mark(age_ms)
        for pane in self._panes():
            pane.show_age(mark)

    def _show_snapshot(self, snapshot: wire.Snapshot, *, stopped: bool) -> None:
        self.query_one(AtRiskPane).show_positions(snapshot.book, snapshot.at_risk)
        self.query_one(QueuePane).show_queue(snapshot, stopped=stopped)
        self.query_one(FailedPane).show_failed(snapshot)
        self.query_one(EventsPane).show_events(snapshot.events)
        self._draw_figures()
        self.query_one(Digest).show_snapshot(snapshot)

    def _draw_figures(self) -> None:
        """The figures of the snapshot that is shown, as large as their panes are by now."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        now_ns = snapshot.taken_at_ns
        self.query_one(FundPane).show_fund(snapshot.fund, now_ns)
        self.query_one(LatencyPane).show_latency(snapshot.latency)
        self.query_one(TotalsPane).show_totals(
            snapshot.totals, (now_ns - snapshot.engine.started_at_ns) // NS_PER_MS, now_ns
        )
        self.query_one(PricesPane).show_prices(snapshot.prices, now_ns, snapshot.oracle)

    # Keys

    def acts(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim the keys that would do nothing; retry and dismiss act only where their cursor is seen."""
        if not self._may_command and action in COMMANDING:
            return None
        if action in ("retry", "retry_alike", "dismiss_failed"):
            failed = self.query_one(FailedPane)
            return True if self.focused is failed.table and failed.thing_under_cursor else None
        if action == "clear_queue":
            return True if self._snapshot is not None and self._snapshot.queue_length else None
        if action in ("copy", "explore"):
            return True if self._address() else None
        if action == "pane":
            return not isinstance(self.focused, Input)  # whoever types has these keys for the text
        return super().acts(action, parameters)

    def action_retry(self) -> None:
        """Ask for a retry of the failed liquidation under the cursor."""
        row = self.query_one(FailedPane).thing_under_cursor
        if row is not None:
            self.post_message(self.WantsRetry(row))

    def action_retry_alike(self) -> None:
        """Ask for a retry of all that failed like the one under the cursor."""
        failed = self.query_one(FailedPane)
        row = failed.thing_under_cursor
        if row is not None:
            self.post_message(self.WantsRetryOfAll(row.outcome, failed.alike(row.outcome)))

    def action_dismiss_failed(self) -> None:
        """Ask to dismiss the failed liquidation under the cursor."""
        row = self.query_one(FailedPane).thing_under_cursor
        if row is not None:
            self.post_message(self.WantsDismissal(row))

    async def action_clear_queue(self) -> None:
        """Ask to clear the queue."""
        await self.app.run_action("app.clear_queue")

    def action_copy(self) -> None:
        """Ask for the address under the cursor in the clipboard."""
        address = self._address()
        if address:
            self.post_message(self.WantsCopy(address))

    def action_explore(self) -> None:
        """Ask for the explorer's page of the position under the cursor."""
        address = self._address()
        if address:
            self.post_message(self.WantsExplorer(address))

    def action_zoom(self) -> None:
        """The whole screen for the pane that has the keys, or the panes again."""
        self.set_class(not self.has_class("-zoomed"), "-zoomed")
        self._turn_to(self._focused_pane() or self.query_one(AtRiskPane))

    def action_pane(self, index: int) -> None:
        """Give the keys to a pane."""
        self._turn_to(self.query_one(_PANES[index]))

    def action_next_pane(self, step: int) -> None:
        """Give the keys to the next table, or the one before."""
        here = self._focused_pane()
        index = -1 if step > 0 else 0
        if isinstance(here, SiftedPane):
            index = _TABLES.index(type(here))
        self.action_pane((index + step) % len(_TABLES))

    def _focused_pane(self) -> SiftedPane[Any] | Figures | None:
        # Asked of the screen: a widget hears of its focus later, and keys may come faster.
        if self.focused is None or isinstance(self.focused, Figures):
            return self.focused
        around = self.focused.ancestors
        return next((pane for pane in map(self.query_one, _TABLES) if pane in around), None)

    def _panes(self) -> list[SiftedPane[Any] | Figures]:
        return [self.query_one(pane) for pane in _PANES]

    def _address(self) -> str | None:
        pane = self._focused_pane()
        return pane.address_of(pane.table.cursor_key) if isinstance(pane, SiftedPane) else None

    def _turn_to(self, pane: SiftedPane[Any] | Figures) -> None:
        """Show the page of a pane, and give it the keys; on wide terminals there is only one page."""
        is_zoomed = self.has_class("-zoomed")
        self.set_class(isinstance(pane, (EventsPane, Figures)), "-second-page")
        self.set_class(is_zoomed and isinstance(pane, Figures), "-of-figures")
        for each in self._panes():
            each.set_class(is_zoomed and each is pane, "-zoomed")
        self._show_titles()
        self.set_focus(pane if isinstance(pane, Figures) else pane.table)
        self._answer()
        self.call_after_refresh(self._draw_figures)

    def _answer(self) -> None:
        """Paint at once which pane has the keys: what else there is to do comes behind it."""
        tables = [self.query_one(pane) for pane in _TABLES]
        for each in tables:
            each.show_keys()
        if self.is_current and not self._layout_required:
            self._compositor.update_widgets({part for each in tables for part in (each.rule, each.table)})
            self._compositor_refresh()

    @on(LiveTable.Chosen)
    def _choose(self, event: LiveTable.Chosen) -> None:
        event.stop()
        pane = next(each for each in self.query(SiftedPane) if each.table is event.table)
        address = pane.address_of(event.key)
        if address is not None:
            self.post_message(self.WantsDetail(address))
