"""The price board: each market's mark, its age and what the oracle step says of it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, span, width_of
from tui.panes.figures import Figures


class PricesPane(Figures):
    """One line a market. A price that is not ok holds all liquidations of its market."""

    TITLE = "PRICES"

    def show_prices(
        self, prices: Sequence[wire.PriceRow], now_ns: int, oracle: wire.OracleView | None = None
    ) -> None:
        """Show the board as of `now_ns`, and in the rule how the second source is."""
        if not prices:
            self.show_figures((), [line(Span(" no market is watched yet", Tone.MUTED))])
            return
        facts = () if oracle is None else _second_source(oracle)
        self.show_figures(
            facts, [shown for price in prices for shown in _lines(price, now_ns, self.size.width)]
        )


def _second_source(oracle: wire.OracleView) -> Line:
    if oracle.second_source == "off":
        return ()
    tone = Tone.MUTED if oracle.second_source == "ok" else Tone.ATTENTION
    return line(span(f"Hermes {oracle.second_source}", tone))


def _lines(price: wire.PriceRow, now_ns: int, width: int) -> list[Line]:
    figures = Span(f"{fmt.price(price.price_e6):>10} {fmt.age(price.age_ms):>5} ")
    symbol = span(f" {price.symbol:<7.7}")
    if price.verdict == "ok":
        sure = Span(f" ±{_confidence_bps(price)}")
        shown = (symbol, figures, Span("ok", Tone.HEALTHY), sure)
        whole = (*shown, *_difference(price))
        return [whole if width_of(whole) <= width else shown]
    held = "" if price.held_since_ns is None else f" {fmt.age((now_ns - price.held_since_ns) // 10**6)}"
    tone, how = (Tone.DANGER, "HALTED") if price.halted else (Tone.ATTENTION, "held")
    told = [
        (symbol, figures, Span("✕" if price.halted else "▲", tone, bold=True)),
        line(span(f"   {how}{held}: {price.verdict} ±{_confidence_bps(price)}bp", tone, bold=price.halted)),
    ]
    if price.second_e6 is not None:
        told.append((Span(f"   Hermes {fmt.price(price.second_e6)}", tone), *_difference(price)))
    return told


def _confidence_bps(price: wire.PriceRow) -> int:
    """Half the width of the price's confidence interval, in basis points of the price, rounded up."""
    return -(-price.conf_e6 * 10_000 // price.price_e6) if price.price_e6 > 0 else 0


def _difference(price: wire.PriceRow) -> Line:
    """How far the second source is from the mark, where it says something."""
    if price.second_e6 is None or price.price_e6 <= 0:
        return ()
    difference_e6 = price.second_e6 - price.price_e6
    bps = abs(difference_e6) * 10_000 // price.price_e6
    return (Span(f"  {'−' if difference_e6 < 0 else '+'}{fmt.percent_of_bps(bps)} %", Tone.MUTED),)
