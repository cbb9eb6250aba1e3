"""What to do when the insurance fund is below its minimum: four steps, each with how far it has come."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import wire
from tui import format as fmt
from tui.lines import Line, Span, Tone, line
from tui.panes.figures import Figures

RUNBOOK = "docs/runbook-fund-depleted.md"


class DepletedPane(Figures):
    """The runbook's steps beside the figures that they are about."""

    TITLE = "THE FUND IS LOW: WHAT TO DO"

    def show_steps(self, snapshot: wire.Snapshot, fund: wire.FundView) -> None:
        """Show how far the operator is."""
        self.show_figures((), steps(snapshot.gate, fund))


def is_low(fund: wire.FundView | None) -> bool:
    """Whether there is less in it than there must be."""
    return fund is not None and fund.balance_lamports < fund.minimum_lamports


def steps(gate: wire.GateView, fund: wire.FundView) -> Sequence[Line]:
    """Halt, assess, raise funds, resume, as the operational guide has them."""
    is_stopped = gate.state != "running"
    missing = fund.minimum_lamports - fund.balance_lamports
    halted = Span("stopped", Tone.HEALTHY) if is_stopped else Span("still sending", Tone.DANGER, bold=True)
    uncovered = fund.uncovered_bad_debt_lamports
    return [
        line(Span(" 1 halt     ", Tone.MUTED), "ctrl+e, with a reason: ", halted),
        line(
            Span(" 2 assess   ", Tone.MUTED),
            f"used {fmt.percent_of_bps(fund.utilization_bps, 1)} %, ",
            f"not covered {fmt.sol_short(uncovered)} SOL; the movements are below",
        ),
        line(
            Span(" 3 raise    ", Tone.MUTED),
            f"{fmt.sol_short(missing)} SOL are missing: any wallet may give, this one by c while it runs",
        ),
        line(Span(" 4 resume   ", Tone.MUTED), "u, with a reason, once the balance is above the minimum"),
        line(Span(f" at length: {RUNBOOK}", Tone.MUTED)),
    ]
