"""The insurance fund: its balance against the minimum, how much was used, what it could not cover."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, spread
from tui.panes.figures import Figures, course_lines

UTILIZATION_LIMIT_BPS = 5_000  # the operational guide's alarm
_GAUGE_MARGIN = 2
_WORTH_TELLING_MS = 10_000  # the account is read every few seconds
_MOST_LOOKS = 900
_SHORTEST_WATCH_NS = 10 * 10**9
_SHORT_RUNWAY_MS = 3_600_000


class FundPane(Figures):
    """Two gauges with their alarm marks, the uncovered debt and the balance's recent course."""

    TITLE = "INSURANCE FUND"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._seen: deque[tuple[int, int]] = deque(maxlen=_MOST_LOOKS)

    def show_fund(self, fund: wire.FundView | None, now_ns: int) -> None:
        """Show the fund as the engine last read it."""
        if fund is None:
            self.show_figures((), [line(Span(" its account was not read yet", Tone.MUTED))])
            return
        width = max(10, self.size.width - _GAUGE_MARGIN)
        self._seen.append((fund.updated_at_ns, fund.balance_lamports))
        age_ms = max(0, now_ns - fund.updated_at_ns) // 10**6
        body = [*_body(fund, width), line(Span(" runway ", Tone.MUTED), runway(self._seen, fund))]
        height = self.rows_of_course(len(body) + 1, 1)
        body += [line(""), *course_lines(fund.trend_lamports, width, height, Tone.OURS)] if height else []
        age = (Span(fmt.age(age_ms), Tone.MUTED),) if age_ms >= _WORTH_TELLING_MS else ()
        self.show_figures(age, body)


def runway(seen: Sequence[tuple[int, int]], fund: wire.FundView) -> Span:
    """How long the balance stays above the minimum at the pace at which this console saw it fall.

    `seen` holds (Unix nanoseconds, lamports), oldest first.
    """
    (first_ns, first), (last_ns, last) = seen[0], seen[-1]
    watched_ns, fallen, left = last_ns - first_ns, first - last, last - fund.minimum_lamports
    if left <= 0:
        return Span("none: below the minimum", Tone.DANGER, bold=True)
    if watched_ns < _SHORTEST_WATCH_NS:
        return Span("watching its course", Tone.MUTED)
    if fallen <= 0:
        return Span(f"does not fall ({fmt.age(watched_ns // 10**6)})")
    left_ms = left * watched_ns // fallen // 10**6
    return Span(f"{fmt.age(left_ms)} at this pace", Tone.DANGER if left_ms < _SHORT_RUNWAY_MS else Tone.PLAIN)


def fund_tone(fund: wire.FundView) -> Tone:
    """Danger below the minimum, attention within half as much again above it."""
    if fund.balance_lamports < fund.minimum_lamports:
        return Tone.DANGER
    return Tone.ATTENTION if 2 * fund.balance_lamports < 3 * fund.minimum_lamports else Tone.HEALTHY


def fund_digest(fund: wire.FundView | None) -> Line:
    """The fund in one line, for small terminals."""
    if fund is None:
        return line(Span("fund ", Tone.MUTED), "not read yet")
    over = fund.utilization_bps > UTILIZATION_LIMIT_BPS
    return line(
        Span("fund ", Tone.MUTED),
        Span(f"{fmt.sol_short(fund.balance_lamports)} SOL", fund_tone(fund), bold=True),
        f" of at least {fmt.sol_short(fund.minimum_lamports)}   used ",
        Span(f"{fmt.percent_of_bps(fund.utilization_bps, 1)} %", Tone.ATTENTION if over else Tone.PLAIN),
        "   uncovered ",
        _uncovered(fund),
    )


def _body(fund: wire.FundView, width: int) -> list[Line]:
    tone = fund_tone(fund)
    full = max(fund.balance_lamports, 2 * fund.minimum_lamports, *fund.trend_lamports, 1)
    over = fund.utilization_bps > UTILIZATION_LIMIT_BPS
    used_tone = Tone.ATTENTION if over else Tone.PLAIN
    covered = fmt.sol_short(fund.total_bad_debt_covered_lamports)
    contributed = fmt.sol_short(fund.total_contributions_lamports)
    spark = fmt.sparkline(fund.trend_lamports, width - 6)
    return [
        spread(
            line(Span(" "), Span(f"{fmt.sol_short(fund.balance_lamports)} SOL", tone, bold=True)),
            line(Span(f"minimum {fmt.sol_short(fund.minimum_lamports)}", Tone.MUTED)),
            width + 1,
        ),
        line(Span(" "), Span(fmt.gauge(fund.balance_lamports, full, fund.minimum_lamports, width), tone)),
        spread(
            line(
                Span(" used "), Span(f"{fmt.percent_of_bps(fund.utilization_bps, 1)} %", used_tone, bold=over)
            ),
            line(Span("alarm 50 %", Tone.MUTED)),
            width + 1,
        ),
        line(
            Span(" "), Span(fmt.gauge(fund.utilization_bps, 10_000, UTILIZATION_LIMIT_BPS, width), used_tone)
        ),
        spread(line(" covered ", covered), line(f"of {contributed}"), width + 1),
        spread(line(" uncovered debt "), line(_uncovered(fund)), width + 1),
        line(Span(" trend ", Tone.MUTED), spark or "–"),
    ]


def _uncovered(fund: wire.FundView) -> Span:
    lamports = fund.uncovered_bad_debt_lamports
    return Span(f"{fmt.sol_short(lamports)} SOL", Tone.DANGER if lamports else Tone.PLAIN, bold=lamports > 0)
