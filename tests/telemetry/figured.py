"""Figures of an engine that is well, to be changed where a test wants it ill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.chain.port import EndpointReport
from engine.telemetry.figures import Figures, HistogramFigures, PriceFigures
from engine.telemetry.latency import BOUNDS_US

SOL = 10**9
START_NS = 1_760_000_000 * 10**9

NODE = EndpointReport("node:8899", "ok", "", 1000, 0, 0, 800, 2_000, 500, 500)
PRICE = PriceFigures("SOL/USD", "ok", is_halted=False, age_ms=300, held_ms=0)
WELL = Figures(
    at_ns=START_NS,
    monotonic_ns=0,
    started_at_ns=START_NS,
    is_ready=True,
    is_stopped=False,
    stopped_by="",
    stopped_by_itself=False,
    stop_reason="",
    full=0,
    partial=0,
    done={("full", "SOL/USD"): 0, ("partial", "SOL/USD"): 0},
    failed=0,
    attempts=0,
    already_liquidated=0,
    rehearsed=0,
    failed_by_outcome={},
    fees_lamports=0,
    fees_today_lamports=0,
    fee_budget_lamports=SOL // 2,
    bad_debt_covered_lamports=0,
    bad_debt_uncovered_lamports=0,
    positions={"healthy": 90, "at risk": 8, "liquidatable": 2, "unknown": 0},
    undecidable={},
    queue_length=0,
    queue_refused=0,
    in_flight=0,
    unread=0,
    fund_lamports=50 * SOL,
    fund_minimum_lamports=10 * SOL,
    fund_contributions_lamports=100 * SOL,
    fund_covered_lamports=40 * SOL,
    fund_utilization_bps=4_000,
    wallet_lamports=SOL,
    why_nothing_is_sent="",
    slot=1000,
    is_subscribed=True,
    is_current=True,
    why_not_current="",
    endpoints=(NODE,),
    disputes=(),
    prices=(PRICE,),
    second_source="ok",
    second_source_message="",
    holds={},
    database_state="ok",
    database_message="",
    journal_backlog=0,
    journal_capacity=1_000_000,
    stages={"detect_to_submit": HistogramFigures(BOUNDS_US, (0,) * (len(BOUNDS_US) + 1), 0)},
    loop_lag=HistogramFigures((100_000,), (0, 0), 0),
)


def at(seconds: float, **changes: Any) -> Figures:
    """The engine `seconds` after its start."""
    elapsed_ns = round(seconds * 1e9)
    return replace(WELL, at_ns=START_NS + elapsed_ns, monotonic_ns=elapsed_ns, **changes)


def stage(fast: int, slow: int) -> dict[str, HistogramFigures]:
    """So many liquidations were sent within 50 ms of their detection, and so many within 250 ms."""
    counts = [0] * (len(BOUNDS_US) + 1)
    counts[BOUNDS_US.index(50_000)] = fast
    counts[BOUNDS_US.index(250_000)] = slow
    return {"detect_to_submit": HistogramFigures(BOUNDS_US, tuple(counts), 0)}
