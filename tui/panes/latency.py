"""How long liquidations take: from the price that crossed to bytes out, to confirmed, and both together."""

from __future__ import annotations

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line
from tui.panes.figures import Figures

_NAME, _FIGURE = 14, 5


class LatencyPane(Figures):
    """Three stages with p50, p95, p99 in milliseconds and the course of the recent ones."""

    TITLE = "LATENCY ms"

    def show_latency(self, board: wire.LatencyBoard) -> None:
        """Show the three stages."""
        width = max(10, self.size.width - 2)
        body = [
            line(
                Span(" " * (_NAME + 1) + "".join(t.rjust(_FIGURE) for t in ("p50", "p95", "p99")), Tone.MUTED)
            )
        ]
        for name, view in _stages(board):
            body += _stage(name, view, width)
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


def _stage(name: str, view: wire.LatencyView, width: int) -> list[Line]:
    if not view.count:
        return [line(f" {name.ljust(_NAME)}", Span("    –    –    –", Tone.MUTED)), line("")]
    figures = "".join(fmt.ms_of_us(us).rjust(_FIGURE) for us in (view.p50_us, view.p95_us, view.p99_us))
    return [
        line(f" {name.ljust(_NAME)}{figures}"),
        line(" ", Span(fmt.sparkline(view.recent_us, width, floor=0), Tone.OURS)),
    ]
