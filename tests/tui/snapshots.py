"""Builds snapshots of a busy engine for a console under test; every figure follows from the arguments."""

from __future__ import annotations

import time

import msgspec
from solders.hash import Hash
from solders.signature import Signature

from engine.api import wire
from engine.domain import Side
from engine.protocol import margin

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
NS = 10**9
MARKS_E6 = {"SOL/USD": 92_410_000, "BTC/USD": 63_410_000_000, "ETH/USD": 3_204_550_000}


def address(number: int) -> str:
    """A base58 address that differs from every other number's at both ends."""
    return str(Hash.hash(f"position {number}".encode()))


def signature(number: int) -> str:
    """A base58 signature."""
    half = bytes(Hash.hash(f"signature {number}".encode()))
    return str(Signature.from_bytes(half + half))


def gate(state: str = "running", version: int = 1, **changes: object) -> wire.GateView:
    """A gate that `root` touched last."""
    view = wire.GateView(
        state=state,
        version=version,
        by="root",
        at_ns=time.time_ns(),
        reason="drill" if state == "stopped" else "first start",
        persisted=True,
        in_flight=0,
        last_valid_block_height=None,
    )
    return msgspec.structs.replace(view, **changes)


def position(number: int, health_milli: int | None = None, **changes: object) -> wire.PositionRow:
    """A position whose mark stands so that its health is about what is asked for, 0.9 to 1.28 by number."""
    symbol = list(MARKS_E6)[number % 3]
    mark_e6 = MARKS_E6[symbol]
    leverage = (10, 25, 50, 100, 5, 200)[number % 6]
    side = Side.LONG if number % 2 else Side.SHORT
    wanted_milli = 900 + 13 * number if health_milli is None else health_milli
    size_e6 = (100_500_000, 420_000, 3_250_000)[number % 3] + 7_000 * number
    bps = margin.maintenance_bps(leverage)
    entry_e6 = mark_e6 * (102 if side is Side.LONG else 98) // 100
    pnl_e12 = margin.pnl_e12(side, size_e6, entry_e6, mark_e6)
    collateral_e6 = (wanted_milli * bps * size_e6 * mark_e6 // 10_000_000 - pnl_e12) // 10**6
    terms = margin.Terms(side, size_e6, entry_e6, collateral_e6, leverage)
    liquidation_e6 = margin.threshold_e6(terms)
    band = "liquidatable" if wanted_milli < 1000 else "at risk"
    row = wire.PositionRow(
        address=address(number),
        owner=address(number + 10_000),
        symbol=symbol,
        side=side.value,
        size_e6=size_e6,
        leverage=leverage,
        entry_price_e6=entry_e6,
        collateral_e6=collateral_e6,
        mark_price_e6=mark_e6,
        liquidation_price_e6=liquidation_e6,
        distance_bps=10_000 * abs(mark_e6 - liquidation_e6) // mark_e6,
        health_milli=wanted_milli,
        equity_e6=margin.health_at(terms, mark_e6).equity_e12 // 10**6,
        band=band,
        why="",
    )
    return msgspec.structs.replace(row, **changes)


def queued(number: int, **changes: object) -> wire.QueueRow:
    """A liquidation under way."""
    row = wire.QueueRow(
        liquidation_id=f"liq{number}",
        address=address(number),
        symbol=list(MARKS_E6)[number % 3],
        health_milli=310 + 85 * number,
        action=("full", "partial")[number % 2],
        stage=("sent", "signed", "queued", "waiting")[number % 4],
        attempt=1 + number % 2,
        fee_lamports=5_000 + 3_500 * number,
        age_ms=120 + 240 * number,
    )
    return msgspec.structs.replace(row, **changes)


def failed(number: int, **changes: object) -> wire.FailedRow:
    """A liquidation that was given up `number` minutes ago."""
    outcome, message, step = (
        ("exceeded CUs", "Computational budget exceeded", "retry raises the limit to 400k"),
        ("timeout", "no confirmation within 30 s", "retry checks the chain first"),
        ("insufficient funds", "fee payer has 0.0004 SOL", "top the wallet up, then retry"),
    )[number % 3]
    now_ns = time.time_ns()
    row = wire.FailedRow(
        liquidation_id=f"failed{number}",
        address=address(500 + number),
        symbol=list(MARKS_E6)[number % 3],
        outcome=outcome,
        message=message,
        attempts=5,
        first_at_ns=now_ns - (60 * number + 40) * NS,
        last_at_ns=now_ns - 60 * number * NS,
        next_step=step,
    )
    return msgspec.structs.replace(row, **changes)


def symbol_risk(number: int) -> wire.SymbolRiskRow:
    """One symbol's bands and ladder; the third one's price is held."""
    symbol = list(MARKS_E6)[number]
    mark_e6 = MARKS_E6[symbol]
    if number == 2:
        return wire.SymbolRiskRow(
            symbol=symbol,
            why="price is wide confidence",
            price_e6=None,
            monitored=3_204,
            healthy=0,
            at_risk=0,
            liquidatable=0,
            unknown=3_204,
            healthy_value_e6=0,
            at_risk_value_e6=0,
            liquidatable_value_e6=0,
            next_fall_e6=None,
            next_fall_bps=None,
            next_rise_e6=None,
            next_rise_bps=None,
            ladder=[],
            made_at_ns=time.time_ns(),
        )
    moves = [sign * bps for sign in (-1, 1) for bps in (100, 200, 500, 1_000, 2_000)]
    return wire.SymbolRiskRow(
        symbol=symbol,
        why="",
        price_e6=mark_e6,
        monitored=4_800,
        healthy=4_787,
        at_risk=9,
        liquidatable=4,
        unknown=0,
        healthy_value_e6=41_250_000_000_000,
        at_risk_value_e6=610_000_000_000,
        liquidatable_value_e6=48_400_000_000,
        next_fall_e6=mark_e6 * 9_988 // 10_000,
        next_fall_bps=12,
        next_rise_e6=mark_e6 * 10_031 // 10_000,
        next_rise_bps=31,
        ladder=[
            wire.RungRow(
                move_bps=move,
                price_e6=mark_e6 * (10_000 + move) // 10_000,
                count=abs(move) * (7 - number),
                value_e6=abs(move) * 8_450_000_000,
                bad_debt_e6=0 if abs(move) < 500 else abs(move) * 4_100_000,
                bad_debt_lamports=0 if abs(move) < 500 else abs(move) * 44_000_000,
                is_covered=abs(move) < 2_000,
            )
            for move in moves
        ],
        made_at_ns=time.time_ns(),
    )


def latency(p50_us: int) -> wire.LatencyView:
    """A stage with a slow tail."""
    recent = [p50_us * (70 + (37 * step) % 90) // 100 for step in range(120)]
    return wire.LatencyView(
        count=142, p50_us=p50_us, p95_us=2 * p50_us, p99_us=p50_us * 31 // 10, recent_us=recent
    )


def events() -> list[wire.EventRow]:
    """One of each level, and some."""
    now_ns = time.time_ns()
    texts = (
        ("info", "price SOL/USD 92.41  −0.8 % in 1 s"),
        ("ours", "LIQUIDATION CONFIRMED 9aQr…77Pd  full  SOL/USD 92.41  slot 312,884,188"),
        ("attention", "price ETH/USD held: wide confidence"),
        ("danger", "gave up Hh81…c0Ne after 5 attempts: exceeded CUs"),
        ("info", "price BTC/USD 63,410.00  −0.2 % in 1 s"),
        ("ours", "LIQUIDATION TRIGGERED 5ZWj…qAPG  health 0.62 < 1  partial  BTC/USD 63,410.00"),
    )
    return [
        wire.EventRow(
            seq=seq, at_ns=now_ns - (12 - seq) * NS, level=texts[seq % 6][0], text=texts[seq % 6][1]
        )
        for seq in range(12)
    ]


def snapshot(seq: int = 1, **changes: object) -> wire.Snapshot:
    """A running engine with 24 positions at risk, 6 being liquidated and 4 given up."""
    now_ns = time.time_ns()
    at_risk = [position(number) for number in range(24)]
    fund = wire.FundView(
        balance_lamports=52_113_004_200,
        minimum_lamports=10 * NS,
        total_contributions_lamports=75 * NS,
        total_bad_debt_covered_lamports=23_250_000_000,
        utilization_bps=3_100,
        uncovered_bad_debt_lamports=0,
        trend_lamports=[(75 - step // 3 + step % 4) * NS for step in range(70)],
        updated_at_ns=now_ns - 800_000_000,
    )
    prices = [
        wire.PriceRow(
            symbol=symbol,
            price_e6=price_e6,
            conf_e6=price_e6 // 2_000,
            publish_time_s=now_ns // NS,
            age_ms=300 + 90 * index,
            verdict="wide confidence" if symbol == "ETH/USD" else "ok",
            held_since_ns=now_ns if symbol == "ETH/USD" else None,
        )
        for index, (symbol, price_e6) in enumerate(MARKS_E6.items())
    ]
    taken = wire.Snapshot(
        protocol=wire.PROTOCOL_VERSION,
        seq=seq,
        taken_at_ns=now_ns,
        engine=wire.EngineView(
            version="0.1.0",
            pid=4242,
            profile="default",
            cluster="sandbox",
            started_at_ns=now_ns - 8_054 * NS,
            phase="ready",
            degraded=[],
        ),
        gate=gate(),
        chain=wire.ChainView(
            slot=312_884_190 + seq,
            block_height=298_114_372,
            rpc_ok=3,
            rpc_total=3,
            subscribed=True,
            updated_at_ns=now_ns,
        ),
        wallet=wire.WalletView(address=address(77), source="key file", balance_lamports=840_000_000),
        database=wire.DatabaseView(state="ok", backlog=0, message=""),
        book=wire.BookView(
            monitored=12_804,
            healthy=12_780,
            at_risk=16,
            liquidatable=8,
            unknown=0,
            at_risk_value_e6=1_210_000_000_000,
            skipped={},
            unknown_reasons={},
        ),
        risk=[symbol_risk(number) for number in range(len(MARKS_E6))],
        at_risk=at_risk,
        queue_length=6,
        in_flight=2,
        queue=[queued(number) for number in range(6)],
        failed_length=4,
        failed=[failed(number) for number in range(4)],
        fund=fund,
        prices=prices,
        latency=wire.LatencyBoard(
            detect_to_submit=latency(740),
            submit_to_confirm=latency(410_000),
            detect_to_confirm=latency(411_000),
        ),
        loop_lag=wire.LoopLagView(count=9_000, p50_us=80, p99_us=4_100, longest_us=31_000),
        totals=wire.Totals(
            full=46,
            partial=96,
            failed=1,
            already_liquidated=3,
            attempts=151,
            fees_lamports=13_402_000,
            bad_debt_covered_lamports=1_250_000_000,
            bad_debt_uncovered_lamports=0,
            liquidatable_seen=149,
        ),
        events=events(),
    )
    return msgspec.structs.replace(taken, **changes)


def detail(row: wire.PositionRow) -> wire.PositionDetail:
    """The detail of a position with two attempts behind it."""
    attempts = [
        wire.AttemptRow(
            signature=signature(number),
            liquidation_id="liq1",
            attempt=2 - number,
            action="partial",
            amount_e6=12_500_000,
            outcome=("confirmed", "blockhash expired")[number],
            error_message=(None, "block height exceeded")[number],
            slot=(312_884_180, None)[number],
            fee_lamports=12_000,
            created_at_ns=time.time_ns() - (20 + 60 * number) * NS,
            decision_json='{"health": "0.981", "mark": "92.41", "price_slot": 312884171}',
        )
        for number in range(2)
    ]
    return wire.PositionDetail(
        row=row,
        generation="documented",
        account_slot=312_884_100,
        maintenance_bps=margin.maintenance_bps(row.leverage),
        value_e6=row.size_e6 * (row.mark_price_e6 or 0) // 10**6,
        action="partial",
        amount_e6=12_500_000,
        reason="closing a part restores the margin",
        health_history_milli=[1290 - 3 * step + (step * 37) % 60 for step in range(100)],
        attempts=attempts,
    )
