"""What a price tick costs on a million positions: when nobody crosses, and when ten thousand do at once."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from benchmarks.measurement import Baseline, Measurement
from benchmarks.population import MARK_E6, SYMBOLS, loaded, make_accounts, price
from benchmarks.processes import Failed
from engine.book.holdings import Holdings
from engine.clock import SystemClock
from engine.journal.journal import Journal
from engine.liquidation.detector import Detector
from engine.liquidation.failures import Failures
from engine.liquidation.queue import LiquidationQueue
from engine.oracle.board import PriceBoard
from engine.protocol.margin import maintenance_bps
from engine.protocol.position_columns import decode_positions
from engine.telemetry.events import EventLog
from engine.telemetry.latency import Latencies
from engine.telemetry.tally import Tally

SMALL, LARGE = 10_000, 1_000_000
TICKS, ROUNDS = 4_000, 5
CROSSING, CROSSINGS = 10_000, 9
_IN_USD = ("size_e6", "entry_price_e6", "collateral_e6")
QUIET_P99_US, CROSS_MS, GROWTH = 50.0, 30.0, 2.0


def measure() -> Iterator[Measurement]:
    """Through the detector, as a price of the feed goes; the marks move by a thousandth and back."""
    small, large = loaded(SMALL), loaded(LARGE)
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        failures = Failures(
            Journal.open(Path(folder) / "journal.db", "bench", time.time_ns), SystemClock(), lambda _: False
        )
        of_small = [_quiet_us(small, failures) for _ in range(ROUNDS)]
        of_large = [_quiet_us(large, failures) for _ in range(ROUNDS)]
        crossings = [_crossing_ms(large, failures) for _ in range(CROSSINGS)]
    numpy_us, python_us = _numpy_us(), _python_us()
    yield Measurement(
        "tick_quiet_1m",
        "us p99",
        [quantiles(each, n=100)[98] for each in of_large],
        n=TICKS * ROUNDS,
        goal=QUIET_P99_US,
        baseline=Baseline(f"whole book in float64 numpy ({_plainly(python_us)})", numpy_us),
    )
    yield Measurement(
        "tick_cross_10k",
        "ms",
        [ms for _, ms in crossings],
        n=sum(count for count, _ in crossings),
        goal=CROSS_MS,
        baseline=Baseline(
            f"whole book in float64 numpy, to find them ({_plainly(python_us)})", numpy_us / 1e3
        ),
    )
    yield Measurement(
        "tick_growth",
        "x",
        [median(one) / median(other) for one, other in zip(of_large, of_small, strict=True)],
        n=2 * TICKS * ROUNDS,
        goal=GROWTH,
    )


def _plainly(python_us: float) -> str:
    return f"pure Python as in the original: {python_us / 1e3:.0f} ms"


def _detector(holdings: Holdings, failures: Failures) -> tuple[Detector, LiquidationQueue]:
    clock, queue = SystemClock(), LiquidationQueue(100_000)
    detector = Detector(
        holdings=holdings,
        board=PriceBoard((), clock),
        queue=queue,
        failures=failures,
        tally=Tally(),
        latencies=Latencies(),
        events=EventLog(clock),
        clock=clock,
        node_is_current=lambda: True,
    )
    detector.enabled = True
    return detector, queue


def _quiet_us(holdings: Holdings, failures: Failures) -> list[float]:
    detector, queue = _detector(holdings, failures)
    prices = [price(SYMBOLS[tick % 20], MARK_E6 - MARK_E6 // 1000 * (tick % 2)) for tick in range(TICKS)]
    took = [_timed(detector.on_price, each) / 1e3 for each in prices]
    if len(queue):
        raise Failed("somebody crossed on a quiet tick")
    return took


def _crossing_ms(holdings: Holdings, failures: Failures) -> tuple[int, float]:
    """Until every one is in the queue; that they come out in order is looked at afterwards."""
    detector, queue = _detector(holdings, failures)
    low, high = 0, MARK_E6
    while high - low > 1:
        middle = (low + high) // 2
        if len(holdings.book.crossers(price(SYMBOLS[3], middle))) >= CROSSING:
            low = middle
        else:
            high = middle
    ms = _timed(detector.on_price, price(SYMBOLS[3], low)) / 1e6
    heap = sorted(queue._heap[:])
    if len(queue) < CROSSING or [each[0] for each in heap] != sorted(entry.health_factor for entry in queue):
        raise Failed(f"only {len(queue)} are in the queue, or not in order")
    return len(queue), ms


def _timed(call: Callable[..., object], *arguments: object) -> int:
    began = time.perf_counter_ns()
    call(*arguments)
    return time.perf_counter_ns() - began


def _numpy_us() -> float:
    """The health of every position in floats, and those of the symbol that are below one."""
    columns = decode_positions(make_accounts(LARGE)[1])
    rows = columns.rows
    size, entry, collateral = (
        rows[name].astype(np.float64) for name in ("size_e6", "entry_price_e6", "collateral_e6")
    )
    sign = np.where(rows["is_short"] == 1, -1.0, 1.0)
    ratio = np.array([maintenance_bps(each) for each in range(1, 501)])[rows["leverage"] - 1] / 1e4
    mark = np.full(len(rows), float(MARK_E6))

    def tick() -> object:
        health = (collateral * 1e6 + sign * size * (mark - entry)) / (size * mark) / ratio
        return np.flatnonzero((health < 1) & (rows["symbol"] == 3))

    return median(_timed(tick) for _ in range(7)) / 1e3


def _python_us() -> float:
    """A loop over objects with floats."""
    columns = decode_positions(make_accounts(LARGE)[1])
    named = zip(
        *(columns.rows[name].tolist() for name in ("is_short", *_IN_USD, "leverage")),
        strict=True,
    )
    positions = [
        {
            "side": "short" if is_short else "long",
            "size": size / 1e6,
            "entry": entry / 1e6,
            "collateral": collateral / 1e6,
            "leverage": leverage,
        }
        for is_short, size, entry, collateral, leverage in named
    ]

    def tick() -> object:
        found, mark = [], MARK_E6 / 1e6
        for each in positions:
            move = mark - each["entry"] if each["side"] == "long" else each["entry"] - mark
            equity = each["collateral"] + move * each["size"]
            if equity / (each["size"] * mark) / (maintenance_bps(each["leverage"]) / 1e4) < 1:
                found.append(each)
        return found

    return median(_timed(tick) for _ in range(3)) / 1e3
