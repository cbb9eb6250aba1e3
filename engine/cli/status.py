"""A snapshot of the engine as the few lines that `liquidation-engine status` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator

from engine.api import wire

_TOLD_MOVE_BPS = 1_000  # of the ladder; `status --json` and the console have all of it


def status_lines(snapshot: wire.Snapshot) -> Iterator[str]:
    """The state first, then what it rests on, then what is being done, then what went wrong."""
    engine, chain = snapshot.engine, snapshot.chain
    if engine.dry_run:
        yield (
            f"DRY RUN     nothing is sent; {snapshot.totals.rehearsed} would have been liquidated, "
            "and what follows is of this rehearsal"
        )
    yield _gate_line(snapshot.gate)
    yield f"engine      {engine.phase}, {engine.version}, process {engine.pid}, profile {engine.profile}"
    yield (
        f"cluster     {engine.cluster}, slot {chain.slot:,}, rpc {chain.rpc_ok}/{chain.rpc_total}, "
        f"{'subscribed' if chain.subscribed else 'NOT subscribed'}"
    )
    if len(chain.endpoints) > 1 or chain.rpc_ok < chain.rpc_total:
        yield from map(_endpoint_line, chain.endpoints)
    wallet = snapshot.wallet
    yield f"wallet      {wallet.address} {_sol(wallet.balance_lamports)} ({wallet.source})"
    yield f"database    {snapshot.database.state}, {snapshot.database.backlog} rows to ship"
    book = snapshot.book
    yield (
        f"positions   {book.monitored:,}: {book.healthy:,} healthy, {book.at_risk:,} at risk, "
        f"{book.liquidatable:,} liquidatable, {book.unknown:,} unknown"
    )
    for reason, count in snapshot.book.unknown_reasons.items():
        yield f"unknown     {count:,}: {reason}"
    for reason, count in book.skipped.items():
        yield f"skipped     {count:,} times an account that is no position: {reason}"
    for figures in snapshot.risk:
        yield f"risk        {figures.symbol}: {_risk(figures)}"
    totals = snapshot.totals
    yield (
        f"liquidated  {totals.full} full, {totals.partial} partial, {totals.failed} failed, "
        f"{totals.already_liquidated} by others first; "
        f"queue {snapshot.queue_length}, in flight {snapshot.in_flight}"
    )
    if snapshot.fund is not None:
        yield (
            f"fund        {_sol(snapshot.fund.balance_lamports)}, "
            f"utilization {snapshot.fund.utilization_bps / 100:.2f} %"
        )
    for reason, count in snapshot.fund_refused.items():
        yield f"fund        account refused {count:,} times: {reason}"
    for reason in engine.degraded:
        yield f"degraded    {reason}"
    for row in snapshot.failed:
        yield f"failed      {row.liquidation_id}  {row.symbol}  {row.outcome}, {_attempts(row.attempts)}"
        for each in row.history:
            yield f"            attempt {each.attempt}: {each.message}"


def _endpoint_line(row: wire.EndpointRow) -> str:
    why = f": {row.why}" if row.why else ""
    return (
        f"rpc         {row.name} {row.state}{why}, slot {row.slot:,}, {row.behind_slots} behind, "
        f"errors {row.error_permille / 10:.1f} %, p50 {row.p50_us / 1000:.1f} ms, "
        f"p99 {row.p99_us / 1000:.1f} ms, budget {row.requests_left}/{row.requests_per_s}"
    )


def _gate_line(gate: wire.GateView) -> str:
    if gate.state == "running":
        return "RUNNING"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(gate.at_ns / 1e9))
    kept = "" if gate.persisted else ", NOT on disk yet"
    out = f", {gate.in_flight} sent and not settled" if gate.in_flight else ""
    return f'STOPPED by {gate.by} at {when}: "{gate.reason}"{out}{kept}'


def _risk(row: wire.SymbolRiskRow) -> str:
    """Who is next, and what a move of ten percent would bring."""
    if row.why:
        return f"{row.why}, {row.unknown:,} positions unknown"
    near = [
        f"next {side} {sign}{bps / 100:.2f} %"
        for side, sign, bps in (("long", "-", row.next_fall_bps), ("short", "+", row.next_rise_bps))
        if bps is not None
    ]
    rungs = [
        f"{rung.move_bps / 100:+.0f} %: {rung.count:,} worth ${rung.value_e6 / 1e6:,.0f}, "
        f"bad debt ${rung.bad_debt_e6 / 1e6:,.0f}"
        + {True: "", False: " BEYOND the fund", None: " (fund or SOL price unknown)"}[rung.is_covered]
        for rung in row.ladder
        if abs(rung.move_bps) == _TOLD_MOVE_BPS
    ]
    return "; ".join([f"{row.at_risk:,} at risk, {row.liquidatable:,} liquidatable", *near, *rungs])


def _sol(lamports: int | None) -> str:
    return "unknown SOL" if lamports is None else f"{lamports / 1e9:.3f} SOL"


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
