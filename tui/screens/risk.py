"""The risk screen: each symbol by band, how far the next positions are, and what a move would bring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.containers import VerticalScroll
from textual.widget import Widget

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Lines, Span, Tone, line, span
from tui.panes.rule import age_mark, rule
from tui.screens.place import PlaceScreen
from tui.state import NS_PER_MS, ConsoleState

_HEADER = f"{'move':>6}{'count':>9}{'value':>9}{'debt':>8}{'fund':>6}"
_MIDDLE = "  "


class RiskScreen(PlaceScreen):
    """Follows the snapshots; the engine has computed every figure."""

    NAME = "risk"

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: wire.Snapshot | None = None
        self._age: Line = ()

    def content(self) -> Iterable[Widget]:
        """One block a symbol, all of them in one scroll."""
        with VerticalScroll(id="risk-body"):
            yield Lines(id="risk")

    def opened(self) -> None:
        """The keys scroll."""
        self.query_one(VerticalScroll).focus()

    def resized(self) -> None:
        """The rules fill their lines."""
        self._draw()

    def show_state(self, state: ConsoleState, now_ns: int) -> None:
        """The banner follows every state, the figures the snapshots unless the display is held."""
        super().show_state(state, now_ns)
        if state.snapshot is not None and state.snapshot is not self._snapshot and not state.paused_ns:
            self._snapshot = state.snapshot
        if self._snapshot is not None:
            self._age = age_mark(max(0, now_ns - self._snapshot.taken_at_ns) // NS_PER_MS)
            self._draw()

    def _draw(self) -> None:
        if self._snapshot is not None:
            shown = self.query_one("#risk", Lines)
            shown.show(risk_lines(self._snapshot, max(0, self.size.width - 1), self._age))


def risk_lines(snapshot: wire.Snapshot, width: int, age: Line = ()) -> list[Line]:
    """Every symbol's block with the figures' age, then why positions are unknown."""
    lines = [each for row in snapshot.risk for each in symbol_lines(row, width, age)]
    if not lines:
        lines = [line(""), line(Span(" no figures yet: positions are still being read", Tone.MUTED))]
    reasons = sorted(snapshot.book.unknown_reasons.items(), key=lambda item: (-item[1], item[0]))
    if reasons:
        facts = (Span(f"{fmt.count(snapshot.book.unknown)} are never sent"),)
        lines.append(rule("UNKNOWN", facts, width, end=age))
        lines += [line(f" {fmt.count(count):>9}  ", span(reason)) for reason, count in reasons]
    return lines


def symbol_lines(row: wire.SymbolRiskRow, width: int, age: Line = ()) -> list[Line]:
    """Bands, distances and ladder of one symbol; falls on the left, rises on the right."""
    positions = fmt.counted(row.monitored, "position")
    title = rule(row.symbol, (Span(f"{fmt.price(row.price_e6)}  {positions}"),), width, end=age)
    if row.why:
        return [title, line(" ", span(row.why, Tone.ATTENTION), f": all {positions} unknown"), line("")]
    falls = [rung for rung in row.ladder if rung.move_bps < 0]
    rises = [rung for rung in row.ladder if rung.move_bps > 0]
    return [
        title,
        _bands(row),
        line(
            " next long ",
            span(_next("−", row.next_fall_bps, row.next_fall_e6)),
            "   next short ",
            span(_next("+", row.next_rise_bps, row.next_rise_e6)),
        ),
        line(Span(f"{_HEADER}{_MIDDLE}{_HEADER}", Tone.MUTED)),
        *_ladder(falls, rises),
        line(""),
    ]


def _bands(row: wire.SymbolRiskRow) -> Line:
    bands = (
        (Tone.HEALTHY, "healthy", row.healthy, row.healthy_value_e6),
        (Tone.ATTENTION, "at risk", row.at_risk, row.at_risk_value_e6),
        (Tone.DANGER, "liquidatable", row.liquidatable, row.liquidatable_value_e6),
    )
    parts: list[Span] = []
    for tone, name, count, value_e6 in bands:
        shown_tone = tone if count else Tone.PLAIN
        parts += [
            Span(f" {name} ", Tone.MUTED),
            Span(f"{fmt.count(count)} {fmt.usd_short(value_e6)}  ", shown_tone),
        ]
    return tuple(parts)


def _next(sign: str, bps: int | None, price_e6: int | None) -> str:
    if bps is None:
        return "none"
    return f"{sign}{fmt.percent_of_bps(bps)} % at {fmt.price(price_e6)}"


def _ladder(falls: Sequence[wire.RungRow], rises: Sequence[wire.RungRow]) -> list[Line]:
    return [(*_rung(fall), Span(_MIDDLE), *_rung(rise)) for fall, rise in zip(falls, rises, strict=True)]


def _rung(rung: wire.RungRow) -> Line:
    move = f"{'−' if rung.move_bps < 0 else '+'}{fmt.percent_of_bps(abs(rung.move_bps), 0)} %"
    figures = f"{move:>6}{fmt.count(rung.count):>9}{fmt.usd_short(rung.value_e6):>9}"
    debt = f"{fmt.usd_short(rung.bad_debt_e6):>8}"
    if rung.bad_debt_e6 == 0:
        return (Span(figures), Span(debt), Span(f"{fmt.UNKNOWN:>6}", Tone.MUTED))
    fund, tone = {True: ("holds", Tone.HEALTHY), False: ("short", Tone.DANGER), None: ("?", Tone.ATTENTION)}[
        rung.is_covered
    ]
    return (Span(figures), Span(debt, tone), Span(f"{fund:>6}", tone))
