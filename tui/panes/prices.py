"""The price board: each market's mark, its age and what the oracle step says of it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span
from tui.panes.figures import Figures


class PricesPane(Figures):
    """One line a market. A price that is not ok holds all liquidations of its market."""

    TITLE = "PRICES"

    def show_prices(self, prices: Sequence[wire.PriceRow], now_ns: int) -> None:
        """Show the board as of `now_ns`."""
        if not prices:
            self.show_figures((), [line(Span(" no market is watched yet", Tone.MUTED))])
            return
        self.show_figures((), [shown for price in prices for shown in _lines(price, now_ns)])


def _lines(price: wire.PriceRow, now_ns: int) -> list[Line]:
    figures = Span(f"{fmt.price(price.price_e6):>10} {fmt.age(price.age_ms):>6}  ")
    symbol = span(f" {price.symbol:<8.8}")
    if price.verdict == "ok":
        return [(symbol, figures, Span("ok", Tone.HEALTHY))]
    held = "" if price.held_since_ns is None else f" {fmt.age((now_ns - price.held_since_ns) // 10**6)}"
    return [
        (symbol, figures, Span("▲", Tone.ATTENTION, bold=True)),
        line(span(f"   held{held}: {price.verdict}", Tone.ATTENTION)),
    ]
