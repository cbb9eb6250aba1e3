"""Writes a position's margin arithmetic out with its numbers, as a person would check it on paper."""

from __future__ import annotations

from engine.api import wire
from engine.domain import Band, Side
from tui import format as fmt
from tui.lines import Line, Span, Tone, line


def margin_lines(detail: wire.PositionDetail) -> list[Line]:
    """Equity, value, margin, maintenance, health and the liquidation price; what is not known says so."""
    row = detail.row
    mark, equity, value = row.mark_price_e6, row.equity_e6, detail.value_e6
    if mark is None or equity is None or value is None or detail.maintenance_bps is None:
        return [_row("equity", Span("not known: there is no usable price", Tone.ATTENTION))]
    size, entry = fmt.size(row.size_e6), fmt.price(row.entry_price_e6)
    move = f"{fmt.price(mark)} − {entry}" if row.side == Side.LONG else f"{entry} − {fmt.price(mark)}"
    maintenance = f"{fmt.percent_of_bps(detail.maintenance_bps)} %"
    below = row.health_milli is not None and row.health_milli < 1000
    tone = Tone.DANGER if below else Tone.PLAIN
    return [
        _row("equity", Span(f"{fmt.usd(row.collateral_e6)} + {size} × ({move})"), _is(fmt.usd(equity))),
        _row("value", Span(f"{size} × {fmt.price(mark)}"), _is(fmt.usd(value))),
        _row("margin", Span(f"{fmt.usd(equity)} / {fmt.usd(value)}"), _is(_ratio_percent(equity, value))),
        _row("maintenance", Span(f"for {row.leverage}× leverage"), _is(maintenance)),
        _row(
            "health",
            Span(f"{_ratio_percent(equity, value)} / {maintenance}"),
            _is(fmt.milli(row.health_milli), tone),
            Span("  liquidatable below 1" if not below else "  below 1: liquidatable", tone),
        ),
        _row(
            "liquidation",
            Span(f"{_reaches(row.side)}"),
            _is(fmt.price(row.liquidation_price_e6)),
            _distance(row),
        ),
    ]


def _ratio_percent(equity_e6: int, value_e6: int) -> str:
    if value_e6 == 0:
        return fmt.UNKNOWN
    return f"{fmt.fixed(1_000_000 * equity_e6 // value_e6, 4, 3)} %"


def _reaches(side: str) -> str:
    return "when the mark falls to" if side == Side.LONG else "when the mark rises to"


def _distance(row: wire.PositionRow) -> Span:
    where = "beyond it" if row.band == Band.LIQUIDATABLE else "away"
    return Span(f"  {fmt.percent_of_bps(row.distance_bps)} % {where}", Tone.MUTED)


def _is(result: str, tone: Tone = Tone.PLAIN) -> Span:
    return Span(f" = {result}", tone, bold=True)


def _row(name: str, *parts: Span) -> Line:
    return line(Span(f" {name:<12}", Tone.MUTED), *parts)
