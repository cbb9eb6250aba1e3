"""One position written out: its margin arithmetic, why and why not, health over time, attempts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget

from engine.api import wire
from engine.api.client import CommandRefused, EngineClient
from tui import format as fmt
from tui.arithmetic import margin_lines
from tui.lines import Line, Lines, Span, Tone, line, span, wrapped
from tui.panes.rule import Rule
from tui.reasons import reason_lines
from tui.screens.asking import AskingScreen
from tui.screens.attempts import attempt_lines, ended_lines
from tui.screens.main import MainScreen
from tui.screens.place import Access
from tui.screens.table_place import told_at_length
from tui.state import ConsoleState

if TYPE_CHECKING:
    from textual_plotext import PlotextPlot

CHART_REFRESH_S = 5.0
ENDED_ROWS = 20
_SHOW_LINE_BELOW = 1.2  # far above 1 the line would only flatten the chart
_NO_POSITION = "unknown_position"

Ended = tuple[str, wire.LiquidationPage]  # why there is no position, and what was done with it


class DetailScreen(AskingScreen[wire.PositionDetail | Ended]):
    """Asks the engine for the position when it opens, and again with the snapshots.

    A position that is gone stays on the screen as it was last seen; one that was never seen shows what the
    record has of it.
    """

    NAME = "position"
    REFRESH_S = 2.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "y",
            "copy_address",
            "Copy address",
            tooltip="through the terminal's clipboard (OSC 52)",
            id="position.copy",
        ),
        Binding("x", "explore", "Explorer", tooltip="this position in the explorer", id="position.explore"),
    ]

    DEFAULT_CSS = """
    DetailScreen #reasons { height: auto; }
    """

    def __init__(self, access: Access, address: str) -> None:
        super().__init__(access)
        self._address = address
        self._charted_s = float("-inf")
        self._charted: Sequence[int] = ()
        self._detail: wire.PositionDetail | None = None
        self._ended: Ended | None = None

    @property
    def address(self) -> str:
        """The position that is shown, in full."""
        return self._address

    def content(self) -> Iterable[Widget]:
        """Arithmetic and chart side by side, reasons and attempts below."""
        from textual_plotext import PlotextPlot  # it takes long to load: not before it is wanted

        self._chart = PlotextPlot(id="chart")
        with VerticalScroll(id="detail-body"):
            with Horizontal(id="detail-top"):
                with Vertical(id="detail-left"):
                    yield Rule("POSITION", id="position-rule")
                    yield Lines(id="position")
                with Vertical(id="detail-right"):
                    yield Rule("HEALTH", id="health-rule")
                    yield self._chart
            yield Rule("WHY, AND WHY NOT", id="reasons-rule")
            yield Lines(id="reasons")
            yield Rule("ATTEMPTS", id="attempts-rule")
            yield Lines(id="attempts")

    def opened(self) -> None:
        """Name the position at once; its figures come from the engine."""
        self.query_one(VerticalScroll).focus()
        self._chart.theme = "clear"
        super().opened()

    def resized(self) -> None:
        """Long lines are broken anew, once their widgets have their width."""
        self.call_after_refresh(self.draw)

    async def fetch(self, client: EngineClient) -> wire.PositionDetail | Ended:
        """The position; when there is none any more, what was done with it."""
        try:
            return await client.position(self._address)
        except CommandRefused as refusal:
            if refusal.code != _NO_POSITION:
                raise
            return str(refusal), await client.recent(ENDED_ROWS, 0, search=self._address)

    def action_copy_address(self) -> None:
        """Put the whole address into the terminal's clipboard."""
        self.post_message(MainScreen.WantsCopy(self._address))

    def action_explore(self) -> None:
        """Ask for the explorer's page of the position."""
        self.post_message(MainScreen.WantsExplorer(self._address))

    def accept(self, answer: wire.PositionDetail | Ended) -> None:
        """Keep the last sight of the position beside the newest answer."""
        if isinstance(answer, wire.PositionDetail):
            self._detail, self._ended = answer, None
        else:
            self._ended = answer
        super().accept(answer)

    def draw(self) -> None:
        """Show what is known, and why it is not more."""
        if not self.is_whole:
            return
        self._draw_position()
        self._draw_attempts()
        # Of a position that is closed there is no course and nothing to decide: its attempts get the room.
        has_rest = self._detail is not None or self._ended is None
        for name in ("#detail-right", "#reasons-rule", "#reasons"):
            self.query_one(name).display = has_rest
        if self._detail is not None:
            self._draw_health(self._detail.health_history_milli)
            if self.state.snapshot is not None:
                self.query_one("#reasons", Lines).show(reason_lines(self._detail, self.state.snapshot))

    def _draw_position(self) -> None:
        width = max(1, self.query_one("#position", Lines).size.width)
        trouble = self.trouble or (self._ended[0] if self._ended else "")
        lines = wrapped(f"✕ {trouble}", width, Tone.DANGER) if trouble else []
        if self._detail is not None:
            lines += position_lines(self._detail, self.state, width)
        elif not trouble:
            lines = [line(""), line(Span(" asking the engine…", Tone.MUTED))]
        self.query_one("#position", Lines).show(lines)
        facts = (span(self._address, bold=True), Span("  "), *self.freshness())
        self.query_one("#position-rule", Rule).show_facts(facts)

    def _draw_attempts(self) -> None:
        attempts, facts = self.query_one("#attempts", Lines), self.query_one("#attempts-rule", Rule)
        if self._detail is not None:
            facts.show_facts((Span(str(len(self._detail.attempts))),))
            attempts.show(attempt_lines(self._detail.attempts, attempts.size.width))
        elif self._ended is not None:
            page = self._ended[1]
            facts.show_facts(
                (Span(f"{fmt.count(page.total)} recorded"), span(f"  {page.note}", Tone.ATTENTION))
            )
            attempts.show(ended_lines(page.rows, attempts.size.width))

    def _draw_health(self, history_milli: Sequence[int]) -> None:
        facts = (Span(f"last {len(history_milli)} samples, newest right", Tone.MUTED),)
        self.query_one("#health-rule", Rule).show_facts(facts)
        if history_milli != self._charted and time.monotonic() - self._charted_s >= CHART_REFRESH_S:
            self._charted_s, self._charted = time.monotonic(), history_milli
            draw_health(self._chart, history_milli)


def draw_health(chart: PlotextPlot, history_milli: Sequence[int]) -> None:
    """The course of the health factor, oldest left, with the line at 1 below which it is liquidatable."""
    plot = chart.plt
    plot.clear_data()
    if history_milli:
        values = [value / 1000 for value in history_milli]
        plot.plot(values, marker="hd", color="cyan")
        if min(values) <= _SHOW_LINE_BELOW:
            plot.hline(1.0, color="red+")
        plot.xfrequency(0)
        plot.yfrequency(5)
    chart.refresh()


def position_lines(detail: wire.PositionDetail, state: ConsoleState, width: int) -> list[Line]:
    """The account as it was read and its band, then the arithmetic, then what the engine would do and why."""
    row = detail.row
    band_tone = (
        Tone.DANGER
        if row.band == "liquidatable"
        else Tone.ATTENTION
        if row.band != "healthy"
        else Tone.HEALTHY
    )
    return [
        line(""),
        _field("owner", span(row.owner)),
        _field("market", span(f"{row.symbol} {row.side} {row.leverage}×")),
        _field("account", span(_account(detail, state))),
        _field(
            "holds",
            Span(f"{fmt.size(row.size_e6)} entered at {fmt.price(row.entry_price_e6)}"),
            Span(f"  collateral {fmt.usd(row.collateral_e6)}"),
        ),
        _field("band", span(row.band, band_tone, bold=True)),
        line(""),
        *margin_lines(detail),
        line(""),
        _field("decision", span(_decision(detail), Tone.OURS, bold=True)),
        *told_at_length("because", detail.reason, width),
        *(told_at_length("but", row.why, width) if row.why not in ("", detail.reason) else []),
    ]


def _account(detail: wire.PositionDetail, state: ConsoleState) -> str:
    read = f"{detail.generation} layout, of slot {detail.account_slot:,}"
    if state.snapshot is None:
        return read
    slots = max(0, state.snapshot.chain.slot - detail.account_slot)
    return f"{read}, ≈ {fmt.slots_wait(slots)} ago"


def _decision(detail: wire.PositionDetail) -> str:
    if not detail.amount_e6:
        return detail.action
    return f"{detail.action} {fmt.size(detail.amount_e6)} of {fmt.size(detail.row.size_e6)}"


def _field(name: str, *value: Span) -> Line:
    return (Span(f" {name:<12}", Tone.MUTED), *value)
