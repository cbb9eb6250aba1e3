"""The insurance fund: how it stands, its course or what to do when it is low, its movements, contributing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from engine.api import wire
from engine.api.client import EngineClient
from tui import format as fmt
from tui.lines import Line, Span, Tone, span
from tui.live_table import Column, Row
from tui.panes.depleted import DepletedPane, is_low
from tui.panes.fund import FundPane
from tui.panes.rule import age_mark
from tui.panes.table_pane import TablePane
from tui.screens.contribute import Contribution, ContributionDialog
from tui.screens.place import Access
from tui.screens.table_place import PAGE_ROWS, TablePlace, told, told_at_length
from tui.state import NS_PER_MS, ConsoleState, may_command

if TYPE_CHECKING:
    from textual_plotext import PlotextPlot

_COLUMNS = (
    Column("when", 14, rank=0),
    Column("movement", 14, rank=1),
    Column("SOL", 15, right=True, rank=2),
    Column("account", 9, rank=3),
    Column("signature", 9, rank=4),
    Column("slot", 13, right=True, rank=5),
)
# What a movement does to the fund, and how it reads.
_KINDS = {
    "contribution": ("+", "◆ contribution", Tone.OURS),
    "equity": ("+", "◆ equity", Tone.HEALTHY),
    "coverage": ("−", "✕ coverage", Tone.DANGER),
}


class FundScreen(TablePlace[wire.FundHistoryPage]):
    """The figures follow the snapshots, the movements are the database's."""

    NAME = "fund"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "c",
            "contribute",
            "Contribute",
            id="fund.contribute",
            tooltip="give SOL of the engine's wallet to the fund: rehearsed first, the amount typed twice",
        ),
    ]
    DEFAULT_CSS = """
    FundScreen {
        & #fund-top { height: 9; }
        & #fund-now { width: 1fr; height: 9; }
        & #fund-chart { width: 2fr; height: 9; padding: 0 0 0 1; }
        & #fund-steps { width: 2fr; height: 9; display: none; padding: 0 0 0 1; }
        &.-low #fund-chart { display: none; }
        &.-low #fund-steps { display: block; }
        &.-narrow #fund-chart, &.-narrow #fund-steps { display: none; }
    }
    """

    def __init__(self, access: Access) -> None:
        super().__init__(access, TablePane("MOVEMENTS", _COLUMNS, name="movements"))
        self._charted: Sequence[int] = ()

    def above(self) -> Iterable[Widget]:
        """Gauges, and beside them the course, or what is to be done."""
        from textual_plotext import PlotextPlot  # it takes long to load: not before it is wanted

        self._chart = PlotextPlot(id="fund-chart")
        yield Horizontal(FundPane(id="fund-now"), self._chart, DepletedPane(id="fund-steps"), id="fund-top")

    def opened(self) -> None:
        """The chart has the terminal's own colours."""
        self._chart.theme = "clear"
        super().opened()

    async def fetch(self, client: EngineClient) -> wire.FundHistoryPage:
        """The page that is on the screen."""
        return await client.fund_history(PAGE_ROWS, self.first_row)

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The figures follow the snapshots unless the display is held."""
        super().show_state(state, now_ns)
        if state.snapshot is not None and not state.paused_ns:
            fund = state.snapshot.fund
            shown = self.query_one(FundPane)
            shown.show_fund(fund, now_ns)
            shown.show_age(age_mark(max(0, now_ns - state.snapshot.taken_at_ns) // NS_PER_MS))
            self.set_class(is_low(fund), "-low")
            if fund is not None:
                self.query_one(DepletedPane).show_steps(state.snapshot, fund)
            trend = fund.trend_lamports if fund is not None else ()
            if trend != self._charted:
                self._charted = trend
                draw_balance(self._chart, trend)

    def rows(self, answer: wire.FundHistoryPage) -> Sequence[Row]:
        """One row a movement."""
        return [_row(key, row) for key, row in self._keyed(answer)]

    def total(self, answer: wire.FundHistoryPage) -> int:
        """All that are recorded."""
        return answer.total

    def empty(self, answer: wire.FundHistoryPage) -> str:
        """Nothing came in and nothing was paid."""
        del answer
        return "no contribution and no coverage is recorded yet"

    def row_lines(self, key: str, answer: wire.FundHistoryPage) -> Sequence[Line]:
        """The whole movement."""
        row = dict(self._keyed(answer)).get(key)
        if row is None:
            return []
        whose = "contributor" if row.kind == "contribution" else "position"
        return [
            told("when", Span(fmt.full_date_time(row.at_ns)), Span(f"  slot {fmt.count(row.slot)}")),
            told("amount", Span(f"{fmt.sol(row.amount_lamports, 9)} SOL"), span(f"  {row.kind}")),
            told(whose, span(row.account)),
            *told_at_length("signature", row.signature, self.size.width),
        ]

    def acts(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim the contribution while the fund or the wallet is not known, and where one may only look."""
        if action == "contribute":
            if not may_command(self.state):
                return None
            snapshot = self.state.snapshot
            known = snapshot is not None and snapshot.fund is not None
            return True if known and snapshot and snapshot.wallet.balance_lamports else None
        return super().acts(action, parameters)

    def action_contribute(self) -> None:
        """Ask for an amount, rehearse it, ask for it once more."""
        snapshot = self.state.snapshot
        if snapshot is None or snapshot.fund is None:
            return

        def answered(contribution: Contribution | None) -> None:
            if contribution is not None:
                self.run_worker(self._contribute(contribution), group="contribute")

        dialog = ContributionDialog(self.access.commands.client, snapshot.wallet, snapshot.fund)
        self.app.push_screen(dialog, answered)

    async def _contribute(self, contribution: Contribution) -> None:
        await self.access.commands.contribute(contribution.lamports, contribution.confirm_text)
        self.ask()

    def _keyed(self, answer: wire.FundHistoryPage) -> list[tuple[str, wire.FundMovementRow]]:
        """Rows with their number from the oldest on, which stays the same when new ones come."""
        oldest = answer.total - answer.offset
        return [(str(oldest - index), row) for index, row in enumerate(answer.rows)]


def draw_balance(chart: PlotextPlot, trend_lamports: Sequence[int]) -> None:
    """The course of the balance in SOL, oldest left."""
    plot = chart.plt
    plot.clear_data()
    if trend_lamports:
        plot.plot([lamports / 1e9 for lamports in trend_lamports], marker="hd", color="cyan")
        plot.title("balance in SOL")
        plot.xfrequency(0)
        plot.yfrequency(4)
    chart.refresh()


def _row(key: str, row: wire.FundMovementRow) -> Row:
    sign, kind, tone = _KINDS.get(row.kind, ("", row.kind, Tone.PLAIN))
    return Row(
        key,
        (
            Span(fmt.date_time(row.at_ns), Tone.MUTED),
            span(kind, tone),
            Span(f"{sign}{fmt.sol(row.amount_lamports, 6)}", tone),
            span(fmt.address(row.account)),
            span(fmt.address(row.signature), Tone.MUTED),
            Span(fmt.count(row.slot)),
        ),
    )
