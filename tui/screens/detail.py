"""One position written out: margin arithmetic with its numbers, attempts, and the course of its health."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual_plotext import PlotextPlot

from engine.api import wire
from engine.api.client import EngineClient
from engine.errors import OperatorError
from engine.paths import ProfilePaths
from tui import format as fmt
from tui.arithmetic import margin_lines
from tui.lines import Line, Lines, Span, Tone, line, span
from tui.panes.banner import Banner
from tui.panes.keybar import KeyBar
from tui.panes.rule import Rule
from tui.screens.attempts import attempt_lines
from tui.state import ConsoleState

REFRESH_S = 2.0
CHART_REFRESH_S = 5.0
_SHOW_LINE_BELOW = 1.2  # far above 1 the line would only flatten the chart


class DetailScreen(Screen[None]):
    """Asks the engine for the position when it opens, and again with the snapshots, REFRESH_S apart."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", key_display="esc", id="position.back"),
        Binding(
            "y",
            "copy_address",
            "Copy address",
            tooltip="through the terminal's clipboard (OSC 52)",
            id="position.copy",
        ),
    ]

    def __init__(self, paths: ProfilePaths, address: str) -> None:
        super().__init__()
        self._paths = paths
        self._address = address
        self._asked_s = float("-inf")
        self._charted_s = float("-inf")
        self._charted: Sequence[int] = ()

    @property
    def address(self) -> str:
        """The position that is shown, in full."""
        return self._address

    def compose(self) -> ComposeResult:
        """Arithmetic and chart side by side, attempts below."""
        yield Banner()
        with VerticalScroll(id="detail-body"):
            with Horizontal(id="detail-top"):
                with Vertical(id="detail-left"):
                    yield Rule("POSITION", id="position-rule")
                    yield Lines(id="position")
                with Vertical(id="detail-right"):
                    yield Rule("HEALTH", id="health-rule")
                    yield PlotextPlot(id="chart")
            yield Rule("ATTEMPTS", id="attempts-rule")
            yield Lines(id="attempts")
        yield KeyBar()

    def on_mount(self) -> None:
        """Name the position at once; its figures come from the engine."""
        self.query_one(VerticalScroll).focus()
        self.query_one("#position", Lines).show([line(""), line(Span(" asking the engine…", Tone.MUTED))])
        self.query_one("#position-rule", Rule).show_facts((span(self._address),))
        self.query_one("#chart", PlotextPlot).theme = "clear"

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner, and with it a fresh look at the position."""
        self.query_one(Banner).show_state(state, now_ns)
        if not state.paused_ns and time.monotonic() - self._asked_s >= REFRESH_S:
            self._asked_s = time.monotonic()
            self.run_worker(self._ask(), group="detail", exclusive=True)

    def action_back(self) -> None:
        """Back to the main screen."""
        self.dismiss(None)

    def action_copy_address(self) -> None:
        """Put the whole address into the terminal's clipboard."""
        self.app.copy_to_clipboard(self._address)
        self.app.notify("the whole address is in the clipboard", markup=False)

    async def _ask(self) -> None:
        try:
            async with EngineClient(self._paths.socket) as client:
                detail = await client.position(self._address)
        except (OperatorError, msgspec.MsgspecError) as error:
            self._show_trouble(str(error))
        else:
            self._show_detail(detail)

    def _show_trouble(self, trouble: str) -> None:
        """Say why nothing new came; what was shown before stays."""
        rule = self.query_one("#position-rule", Rule)
        rule.show_facts((span(self._address), Span("  "), span(trouble, Tone.DANGER)))

    def _show_detail(self, detail: wire.PositionDetail) -> None:
        self.query_one("#position-rule", Rule).show_facts((span(self._address, bold=True),))
        self.query_one("#position", Lines).show(position_lines(detail))
        self.query_one("#attempts-rule", Rule).show_facts((Span(str(len(detail.attempts))),))
        attempts = self.query_one("#attempts", Lines)
        attempts.show(attempt_lines(detail.attempts, attempts.size.width))
        history = detail.health_history_milli
        self.query_one("#health-rule", Rule).show_facts((Span(f"last {len(history)} prices", Tone.MUTED),))
        if history != self._charted and time.monotonic() - self._charted_s >= CHART_REFRESH_S:
            self._charted_s, self._charted = time.monotonic(), history
            draw_health(self.query_one("#chart", PlotextPlot), history)


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


def position_lines(detail: wire.PositionDetail) -> list[Line]:
    """Owner, account and band, then the arithmetic, then what the engine would do and why."""
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
        _field("account", span(f"{detail.generation} layout, read at slot {detail.account_slot:,}")),
        _field("band", span(row.band, band_tone, bold=True)),
        line(""),
        *margin_lines(detail),
        line(""),
        _field("decision", span(_decision(detail), Tone.OURS, bold=True), span(f"  {detail.reason}")),
        *([_field("why", span(row.why))] if row.why not in ("", detail.reason) else []),
    ]


def _decision(detail: wire.PositionDetail) -> str:
    if not detail.amount_e6:
        return detail.action
    return f"{detail.action} {fmt.size(detail.amount_e6)} of {fmt.size(detail.row.size_e6)}"


def _field(name: str, *value: Span) -> Line:
    return (Span(f" {name:<12}", Tone.MUTED), *value)
