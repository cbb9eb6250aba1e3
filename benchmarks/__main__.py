"""`python -m benchmarks [id,id]`: prints one JSON object a line; without ids, all of them.

What several ids begin with stands for all of them: `socket_to_queue` for its kinds and percentiles.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from benchmarks import (
    api_load,
    book_ticks,
    burst,
    burst_1000,
    console,
    console_crash,
    crash,
    engine_with_console,
    execution,
    ingestion,
    node_fanout,
    node_gpa,
    node_tx,
    restart_1000,
    sandbox_ready,
    simulation,
    stopping,
)
from benchmarks.measurement import Measurement
from benchmarks.processes import Failed
from engine.errors import OperatorError

# Ids that share their runs stand behind the same function.
GROUPS: dict[Callable[[], Iterator[Measurement]], tuple[str, ...]] = {
    ingestion.measure_load: ("load_1m", "load_1m_peak", "load_1m_kept"),
    ingestion.measure_lag: ("load_lag_100k", "reload_lag_100k"),
    ingestion.measure_notifications: ("notifications",),
    ingestion.measure_latency: (
        *(
            f"socket_to_queue{awake}{kind}_p{percent}"
            for awake in ("", "_awake")
            for kind in ("", "_account", "_price")
            for percent in (50, 99)
        ),
        "socket_to_queue_warm",
    ),
    book_ticks.measure: ("tick_quiet_1m", "tick_cross_10k", "tick_growth"),
    sandbox_ready.measure: ("sandbox_ready",),
    crash.measure: ("detect_to_submit_p50", "detect_to_submit_p99"),
    execution.measure: (
        *("frame_to_bytes", "frame_to_bytes_p99", "burst_32"),
        *("frame_to_bytes_awake", "frame_to_bytes_p99_awake", "burst_32_awake"),
        *("frame_to_bytes_bare", "frame_to_bytes_p99_bare", "burst_32_bare"),
    ),
    burst.measure: ("burst_500",),
    burst_1000.measure: ("burst_1000", "burst_1000_recorded"),
    restart_1000.measure: ("restart_1000",),
    stopping.measure: ("stop", "stop_black_holed"),
    console.measure: ("console_1hz", "console_1hz_cpu"),
    console.measure_start: ("console_start",),
    console_crash.measure: ("console_crash", "console_crash_key_p99"),
    console_crash.measure_lost: ("terminal_lost",),
    engine_with_console.measure: ("engine_with_console",),
    simulation.measure: ("simulate", "simulate_machine", "simulate_violations"),
    api_load.measure: (
        *("api_load", "api_load_p99_metrics", "api_load_p99_pending", "api_load_p99_stats"),
        *("api_load_engine", "api_ws_200", "api_ws_200_p99", "api_held_200", "api_price_to_bytes_p99"),
    ),
    api_load.measure_ready: ("ready_100k",),
    node_tx.measure: ("node_tx",),
    node_gpa.measure: ("node_gpa_100k",),
    node_fanout.measure: ("node_fanout_100", "node_fanout_100_last_ms"),
}


def main(arguments: list[str]) -> int:
    """Measure what was asked for; 2 for an unknown id, 1 when a figure cannot be had."""
    known = [name for names in GROUPS.values() for name in names]
    asked = [name for argument in arguments for name in argument.split(",") if name]
    unknown = [name for name in asked if not _meant_by(name, known)]
    wanted = {each for name in asked for each in _meant_by(name, known)} or set(known)
    if unknown:
        _complain(f"unknown id {', '.join(unknown)}: choose {', '.join(known)}")
        return 2
    complete = True
    for measure, names in GROUPS.items():
        if not wanted.intersection(names):
            continue
        try:
            for measurement in measure():
                if measurement.id in wanted:
                    print(measurement.line(), flush=True)
        except (Failed, OperatorError) as error:
            _complain(f"{', '.join(names)}: {error}")
            complete = False
    return 0 if complete else 1


def _meant_by(name: str, known: Sequence[str]) -> list[str]:
    """The id of this name, or else those that begin with it."""
    return [name] if name in known else [each for each in known if each.startswith(f"{name}_")]


def _complain(text: str) -> None:
    print(f"benchmarks: {text}", file=sys.stderr)


def _end() -> NoReturn:
    # Ended by somebody else, it ends what it started, too: engines that nobody measures take the processor.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(130)


if __name__ == "__main__":
    _end()
