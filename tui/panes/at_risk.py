"""The positions near or below their liquidation price, lowest health first, with a filter."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input

from engine.api import wire
from engine.domain import Band
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.live_table import Column, Row
from tui.panes.filter_line import FilterInput
from tui.panes.table_pane import TablePane

_CUSHION_CELLS = 4
_AT_RISK_MILLI = 1_300  # where the engine's at-risk band begins: the cushion's bar is full there
_LIQUIDATABLE_MILLI = 1_000  # and here it is used up
_CLOSE_MILLI = 1_100
_UNKNOWN_LAST = 10**9

_COLUMNS = (
    Column("position", 9, rank=0),
    Column("market", 7, rank=1),
    Column("side", 5, rank=2),
    Column("size", 7, right=True, rank=4),
    Column("lev×", 4, right=True, rank=7),
    Column("entry $", 9, right=True, rank=8),
    Column("mark $", 9, right=True, rank=6),
    Column("liq. $", 9, right=True, rank=9),
    Column("dist %", 6, right=True, rank=5),
    Column("health", _CUSHION_CELLS + 7, right=True, rank=3),
    Column("equity $", 11, right=True, rank=10),
    Column("collateral $", 12, right=True, rank=11),
    Column("why", 12, rank=12, stretch=True),
)


class AtRiskPane(TablePane):
    """Rows are keyed by the position's address."""

    def __init__(self) -> None:
        super().__init__("1 AT RISK", _COLUMNS, name="at-risk")
        self._filter = ""
        self._book: wire.BookView | None = None
        self._positions: list[wire.PositionRow] = []

    def compose(self) -> ComposeResult:
        """The rule, the filter's line while it is open, the table."""
        yield self.rule
        yield FilterInput(placeholder="address, owner, market, side or band", id="filter", compact=True)
        yield self.table

    def open_filter(self) -> None:
        """Show the filter's line and give it the keys."""
        entry = self.query_one(FilterInput)
        entry.display = True
        entry.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter with every letter."""
        event.stop()
        self._filter = event.value.strip().lower()
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and go back to the table."""
        event.stop()
        event.input.display = bool(event.input.value)
        self.table.focus()

    def show_positions(self, book: wire.BookView, positions: list[wire.PositionRow]) -> None:
        """Show the worst positions of the book."""
        self._book = book
        self._positions = sorted(positions, key=_by_health)
        self._draw()

    def _draw(self) -> None:
        if self._book is None:
            return
        shown = [row for row in self._positions if _matches(row, self._filter)]
        facts = _facts(self._book, len(shown), len(self._positions), self._filter)
        self.show_rows(facts, [_row(row) for row in shown], _empty(self._book, self._filter))


def _by_health(row: wire.PositionRow) -> tuple[int, str]:
    return (_UNKNOWN_LAST if row.health_milli is None else row.health_milli, row.address)


def _matches(row: wire.PositionRow, wanted: str) -> bool:
    return not wanted or any(
        wanted in text.lower() for text in (row.address, row.owner, row.symbol, row.side, row.band)
    )


def _facts(book: wire.BookView, shown: int, received: int, wanted: str) -> Line:
    at_risk = book.at_risk + book.liquidatable
    parts: list[Span] = [Span(f"{fmt.count(at_risk)} of {fmt.count(book.monitored)}")]
    if book.liquidatable:
        parts.append(Span(f"  {fmt.count(book.liquidatable)} liquidatable", Tone.DANGER, bold=True))
    if book.unknown:
        parts.append(Span(f"  {fmt.count(book.unknown)} unknown", Tone.ATTENTION))
    parts.append(Span(f"  worth {fmt.usd_short(book.at_risk_value_e6)}"))
    if skipped := sum(book.skipped.values()):
        parts.append(Span(f"  {fmt.count(skipped)} accounts skipped", Tone.ATTENTION))
    if wanted:
        parts.append(span(f'  {shown} match "{wanted}"', Tone.OURS))
    elif received < at_risk:
        parts.append(Span(f"  the worst {received}", Tone.MUTED))
    return tuple(parts)


def _empty(book: wire.BookView, wanted: str) -> Line:
    if wanted:
        return line(span(f'nothing matches "{wanted}": escape clears the filter', Tone.MUTED))
    if not book.monitored:
        return line(Span("no positions are known yet", Tone.MUTED))
    return line(Span(f"nothing is at risk: {fmt.count(book.healthy)} positions are healthy", Tone.HEALTHY))


def _row(row: wire.PositionRow) -> Row:
    tone = _tone(row)
    return Row(
        row.address,
        (
            span(fmt.address(row.address)),
            span(row.symbol),
            span(row.side),
            Span(fmt.size_short(row.size_e6)),
            Span(str(row.leverage)),
            Span(fmt.price(row.entry_price_e6)),
            Span(fmt.price(row.mark_price_e6)),
            Span(fmt.price(row.liquidation_price_e6)),
            Span(_distance(row), tone),
            Span(f"{_cushion(row)} {fmt.milli(row.health_milli):>6}", tone, bold=tone is Tone.DANGER),
            Span(fmt.usd(row.equity_e6), Tone.DANGER if (row.equity_e6 or 0) < 0 else Tone.PLAIN),
            Span(fmt.usd(row.collateral_e6)),
            span(row.why),
        ),
    )


def _distance(row: wire.PositionRow) -> str:
    """How far the mark is from the liquidation price in per cent, negative beyond it."""
    if row.distance_bps is None:
        return fmt.UNKNOWN
    signed = -row.distance_bps if row.band == Band.LIQUIDATABLE else row.distance_bps
    return fmt.percent_of_bps(signed, 2 if row.distance_bps < 10_000 else 1)


def _cushion(row: wire.PositionRow) -> str:
    """What is left between the position and its liquidation, as a bar; a cross when nothing is."""
    if row.band == Band.LIQUIDATABLE:
        return "✕".ljust(_CUSHION_CELLS)
    if row.health_milli is None:
        return "?".ljust(_CUSHION_CELLS)
    left = max(1, row.health_milli - _LIQUIDATABLE_MILLI)
    return fmt.bar(left, _AT_RISK_MILLI - _LIQUIDATABLE_MILLI, _CUSHION_CELLS)


def _tone(row: wire.PositionRow) -> Tone:
    if row.band == Band.LIQUIDATABLE:
        return Tone.DANGER
    if row.band == Band.UNKNOWN or row.health_milli is None or row.health_milli < _CLOSE_MILLI:
        return Tone.ATTENTION
    return Tone.PLAIN
