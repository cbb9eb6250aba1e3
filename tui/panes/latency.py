"""How long liquidations take: from the price that crossed to bytes out, to confirmed, and both together."""

from __future__ import annotations

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line
from tui.panes.figures import Figures, course_lines

# The operational guide's: 50 ms on average, an alarm beyond 100 ms at the 95th percentile. They are held
# against what the engine does itself; how long the cluster takes to confirm is the cluster's.
TYPICAL_GOAL_US, TAIL_GOAL_US = 50_000, 100_000
_NAME, _LONGEST_NAME, _FIGURE = 14, 27, 5


class LatencyPane(Figures):
    """Three stages with p50, p95, p99 in milliseconds and the course of the recent ones."""

    TITLE = "LATENCY ms"

    def show_latency(self, board: wire.LatencyBoard) -> None:
        """Show the three stages."""
        width = max(10, self.size.width - 2)
        named = max(_NAME, min(_LONGEST_NAME, width - 3 * _FIGURE))
        body = [
            line(
                Span(
                    " goal 50 · 100".ljust(named + 1)
                    + "".join(title.rjust(_FIGURE) for title in ("p50", "p95", "p99")),
                    Tone.MUTED,
                )
            )
        ]
        stages = _stages(board)
        height = self.rows_of_course(1 + 2 * len(stages), len(stages))
        for number, (name, view) in enumerate(stages):
            body += _stage(name.ljust(named), view, width, height, has_goal=number == 0)
        self.show_figures((Span(f"of {fmt.count(board.detect_to_confirm.count)}", Tone.MUTED),), body)


def latency_digest(board: wire.LatencyBoard) -> Line:
    """Latency in one line, for small terminals: p50 and p95 of each stage."""
    shown = zip(("detect→submit", "→confirm", "in all"), _stages(board), strict=True)
    parts: list[Span] = [Span("ms p50/p95 ", Tone.MUTED)]
    for name, (_, view) in shown:
        figures = f"{fmt.ms_of_us(view.p50_us)}/{fmt.ms_of_us(view.p95_us)}" if view.count else "–"
        parts.append(Span(f"{name} {figures}   "))
    return tuple(parts)


def _stages(board: wire.LatencyBoard) -> tuple[tuple[str, wire.LatencyView], ...]:
    return (
        ("detect→submit", board.detect_to_submit),
        ("submit→confirm", board.submit_to_confirm),
        ("detect→confirm", board.detect_to_confirm),
    )


def _misses(view: wire.LatencyView) -> bool:
    return view.p50_us > TYPICAL_GOAL_US or view.p95_us > TAIL_GOAL_US


def _tone(us: int, goal_us: int | None) -> Tone:
    return Tone.ATTENTION if goal_us is not None and us > goal_us else Tone.PLAIN


def _stage(name: str, view: wire.LatencyView, width: int, height: int, *, has_goal: bool) -> list[Line]:
    if not view.count:
        return [line(f" {name}", Span("    –    –    –", Tone.MUTED)), line("")]
    p50, p95, p99 = (fmt.ms_of_us(us).rjust(_FIGURE) for us in (view.p50_us, view.p95_us, view.p99_us))
    return [
        line(
            Span("▲" if has_goal and _misses(view) else " ", Tone.ATTENTION, bold=True),
            name,
            Span(p50, _tone(view.p50_us, TYPICAL_GOAL_US if has_goal else None)),
            Span(p95, _tone(view.p95_us, TAIL_GOAL_US if has_goal else None)),
            p99,
        ),
        *(
            [*course_lines(view.recent_us, width, height, Tone.OURS, floor=0), line("")]
            if height
            else [line(" ", Span(fmt.sparkline(view.recent_us, width, floor=0), Tone.OURS))]
        ),
    ]
