"""What a run did, as one object: the engine's own view beside what chain and database say of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from engine.api import wire
from engine.verify import VerifyReport

LATENCIES = ("detect_to_submit", "submit_to_confirm", "detect_to_confirm", "finality_wait")


def summarize(
    snapshot: wire.Snapshot,
    report: VerifyReport,
    *,
    liquidatable_seen: int,
    opened: int | None,
    drained: bool,
) -> dict[str, Any]:
    """The summary of a run that ends with this snapshot.

    `opened` is None where nobody counts the positions that are opened (a real cluster); `drained` tells
    whether everything liquidatable was liquidated and recorded when the figures were taken.
    `positions.monitored` counts every position watched during the run: the ones still open and the ones that
    a full liquidation closed. `success_rate` is the share of finished attempts that liquidated something;
    those that somebody else was quicker than do not count, they are a figure of their own.
    Latencies are in milliseconds and count from when the engine could act; `finality_wait` is what positions
    waited before that. `chain`, `database` and `violations` owe nothing to the engine's counters.
    """
    totals, book = snapshot.totals, snapshot.book
    return {
        "positions": {
            "opened": opened,
            "monitored": book.monitored + totals.full,
            "at_risk": book.at_risk,
            "liquidatable_seen": liquidatable_seen,
        },
        "liquidations": {
            "full": totals.full,
            "partial": totals.partial,
            "failed": totals.failed,
            "already_liquidated": totals.already_liquidated,
        },
        "success_rate": _share(totals.full + totals.partial, totals.attempts - totals.already_liquidated),
        "latency_ms": {
            name: _milliseconds(getattr(snapshot.latency, name))
            for name in LATENCIES
            if getattr(snapshot.latency, name) is not None
        },
        "bad_debt_lamports": {
            "covered": totals.bad_debt_covered_lamports,
            "uncovered": totals.bad_debt_uncovered_lamports,
        },
        "fund": _fund(snapshot.fund),
        "fees_lamports": totals.fees_lamports,
        "drained": drained,
        **{part: asdict(getattr(report, part)) for part in ("chain", "database", "violations")},
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _milliseconds(view: wire.LatencyView) -> dict[str, float | int]:
    return {
        "p50": view.p50_us / 1000,
        "p95": view.p95_us / 1000,
        "p99": view.p99_us / 1000,
        "count": view.count,
    }


def _fund(fund: wire.FundView | None) -> dict[str, int] | None:
    if fund is None:
        return None
    figures: dict[str, int] = msgspec.to_builtins(fund)
    return {name: value for name, value in figures.items() if name != "trend_lamports"}
