"""What the engine did since it started: counts, success rate, fees and covered bad debt."""

from __future__ import annotations

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, spread
from tui.panes.figures import Figures

SUCCESS_GOAL_PERMILLE = 990  # the operational guide's goal


class TotalsPane(Figures):
    """The engine's own counts of this run."""

    TITLE = "SINCE START"

    def show_totals(self, totals: wire.Totals, uptime_ms: int) -> None:
        """Show the counts of a run of that length."""
        width = max(10, self.size.width - 1)
        self.show_figures((Span(fmt.age(uptime_ms), Tone.MUTED),), _body(totals, width))


def _fees(lamports: int) -> str:
    """Fees are small: to the micro-SOL until there is a whole one."""
    return fmt.sol(lamports, 6) if lamports < 10**9 else fmt.sol_short(lamports)


def _body(totals: wire.Totals, width: int) -> list[Line]:
    done = totals.full + totals.partial
    tried = done + totals.failed
    success = Tone.HEALTHY if 1000 * done >= SUCCESS_GOAL_PERMILLE * tried else Tone.ATTENTION

    def row(name: str, value: Span) -> Line:
        return spread(line(f" {name}"), (value,), width)

    first = row("liquidated", Span(fmt.count(done), Tone.OURS, bold=True))
    if totals.rehearsed:
        first = row("dry run, would have", Span(fmt.count(totals.rehearsed), Tone.ATTENTION, bold=True))
    return [
        first,
        row("  full · partial", Span(f"{fmt.count(totals.full)} · {fmt.count(totals.partial)}")),
        row("failed", Span(fmt.count(totals.failed), Tone.DANGER if totals.failed else Tone.PLAIN)),
        row("others were first", Span(fmt.count(totals.already_liquidated))),
        row(
            "success", Span(f"{fmt.success_percent(done, totals.failed)} %", success if tried else Tone.PLAIN)
        ),
        row("fees paid", Span(f"{_fees(totals.fees_lamports)} SOL")),
        row("bad debt covered", Span(f"{fmt.sol_short(totals.bad_debt_covered_lamports)} SOL")),
    ]
