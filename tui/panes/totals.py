"""What the engine did since it started: counts, success rate, fees and covered bad debt."""

from __future__ import annotations

from collections import deque

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line, spread
from tui.panes.figures import Figures

_MINUTE_MS = 60_000
_OLD_MS = 60_000  # four times as long as the engine waits between two questions to the database
_MOST_LOOKS = 400  # a minute of looks five times a second, and some
SUCCESS_GOAL_PERMILLE = 990  # the operational guide's goal


class Pace:
    """How many were liquidated in the last minute of the engine's time, as far as this console saw it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=_MOST_LOOKS)

    def add(self, done: int, uptime_ms: int) -> None:
        """A look at the count; one of another run of the engine begins anew."""
        if self._seen and uptime_ms < self._seen[-1][0]:
            self._seen.clear()
        self._seen.append((uptime_ms, done))
        while len(self._seen) > 2 and self._seen[1][0] <= uptime_ms - _MINUTE_MS:
            self._seen.popleft()

    def per_minute(self) -> str:
        """The count of that minute; while it was not watched for as long, the seconds that it is of."""
        (first_ms, first), (last_ms, last) = self._seen[0], self._seen[-1]
        watched_ms = last_ms - first_ms
        if watched_ms >= _MINUTE_MS:
            return fmt.count(last - first)
        return f"{fmt.count(last - first)} in {fmt.age(watched_ms)}"


class TotalsPane(Figures):
    """The engine's own counts of this run."""

    TITLE = "SINCE START"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._pace = Pace()

    def show_totals(self, totals: wire.Totals, uptime_ms: int, now_ns: int) -> None:
        """Show the counts of a run of that length, as of `now_ns`."""
        width = max(10, self.size.width - 1)
        self._pace.add(totals.full + totals.partial, uptime_ms)
        self.show_figures(
            (Span(fmt.age(uptime_ms), Tone.MUTED),), _body(totals, self._pace.per_minute(), now_ns, width)
        )


def _fees(lamports: int) -> str:
    """Fees are small: to the micro-SOL until there is a whole one."""
    return fmt.sol(lamports, 6) if lamports < 10**9 else fmt.sol_short(lamports)


def _budget(totals: wire.Totals) -> Span:
    """What today's fees leave of the day's budget; nothing is sent beyond it."""
    spent, budget = totals.fees_today_lamports, totals.fee_budget_lamports
    if budget is None:
        return Span(fmt.UNKNOWN)
    tone = Tone.DANGER if spent >= budget else Tone.ATTENTION if 5 * spent >= 4 * budget else Tone.PLAIN
    return Span(f"{_fees(spent)} of {fmt.sol_short(budget)}", tone)


def _success(done: int, failed: int) -> Span:
    """The share that succeeded, held against the goal."""
    tried = done + failed
    good = 1000 * done >= SUCCESS_GOAL_PERMILLE * tried
    tone = Tone.PLAIN if not tried else Tone.HEALTHY if good else Tone.ATTENTION
    return Span(f"{fmt.success_percent(done, failed)} %", tone)


def last_day(day: wire.LastDay | None, now_ns: int) -> Span:
    """The same of single tries in 24 hours, restarts and all; old when the database is away."""
    if day is None:
        return Span("not known yet", Tone.MUTED)
    age_ms = max(0, now_ns - day.at_ns) // 10**6
    if age_ms > _OLD_MS:
        return Span(f"{_success(day.done, day.failed).text} {fmt.age(age_ms)} ago", Tone.ATTENTION)
    return _success(day.done, day.failed)


def _body(totals: wire.Totals, per_minute: str, now_ns: int, width: int) -> list[Line]:
    done = totals.full + totals.partial

    def row(name: str, value: Span) -> Line:
        return spread(line(f" {name}"), (value,), width)

    first = row("liquidated", Span(fmt.count(done), Tone.OURS, bold=True))
    if totals.rehearsed:
        first = row("dry run, would have", Span(fmt.count(totals.rehearsed), Tone.ATTENTION, bold=True))
    return [
        first,
        row("  full · partial", Span(f"{fmt.count(totals.full)} · {fmt.count(totals.partial)}")),
        row("  last minute", Span(per_minute)),
        row("failed", Span(fmt.count(totals.failed), Tone.DANGER if totals.failed else Tone.PLAIN)),
        row("success, goal 99 %", _success(done, totals.failed)),
        row("  tries, last 24 h", last_day(totals.last_day, now_ns)),
        row("fees today", _budget(totals)),
        row("fees paid", Span(f"{_fees(totals.fees_lamports)} SOL")),
        row("others were first", Span(fmt.count(totals.already_liquidated))),
        row("bad debt covered", Span(f"{fmt.sol_short(totals.bad_debt_covered_lamports)} SOL")),
    ]
