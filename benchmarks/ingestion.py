"""How fast a million positions are loaded, and how fast and how soon what a node tells is taken.

Stand-in nodes tell it: the sandbox's would be the bottleneck, it makes each answer anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from benchmarks.measurement import AWAKE, Baseline, Measurement
from benchmarks.processes import Failed

POSITIONS, NOTIFICATIONS, BOOK = 1_000_000, 300_000, 100_000
LOADS, HEARINGS = 3, 5
TOLD = 1_500  # of each kind
P50_US, P99_US, WARM_US = 200.0, 1_000.0, 100.0
LOAD_S, PEAK_MB, KEPT_BYTES, PER_S = 2.5, 900.0, 150.0, 100_000.0
LAGS, LAG_MS = 5, 15.0
DEADLINE_S = 300.0


def measure_load() -> Iterator[Measurement]:
    """From the request to the last position in the book; each in a new process."""
    with _node("stub_node", POSITIONS, 0) as port:
        loads = [_client("load", f"http://127.0.0.1:{port}/") for _ in range(LOADS)]
        plain = _client("load_plainly", f"http://127.0.0.1:{port}/")
    if any(each["count"] != POSITIONS for each in (*loads, plain)):
        raise Failed("not every position was loaded")
    name = "solana-py's AsyncClient, an object for each position"
    figures = (
        ("load_1m", "s", "seconds", LOAD_S, Baseline(name, plain["seconds"])),
        ("load_1m_peak", "MB", "peak_mb", PEAK_MB, Baseline(name, plain["peak_mb"])),
        ("load_1m_kept", "B/position", "kept_bytes", KEPT_BYTES, Baseline(name, plain["kept_bytes"])),
    )
    for figure, unit, key, goal, baseline in figures:
        samples = [each[key] for each in loads]
        yield Measurement(figure, unit, samples, n=LOADS * POSITIONS, goal=goal, baseline=baseline)


def measure_lag() -> Iterator[Measurement]:
    """How long the event loop is held up at most while 100,000 accounts are read: anew, and once more."""
    with _node("stub_node", BOOK, 0) as port:
        url = f"http://127.0.0.1:{port}/"
        loads = [_client("load", url) for _ in range(LAGS)]
        reloads = [_client("reload", url) for _ in range(LAGS)]
        whole = _client("load_at_once", url)
    if any(each["count"] != BOOK for each in (*loads, *reloads, whole)):
        raise Failed("not every position was loaded")
    baseline = Baseline("solana-py's AsyncClient, decoded whole", whole["longest_lag_ms"])
    for figure, runs in (("load_lag_100k", loads), ("reload_lag_100k", reloads)):
        samples = [each["longest_lag_ms"] for each in runs]
        yield Measurement(figure, "ms longest", samples, n=LAGS * BOOK, goal=LAG_MS, baseline=baseline)


def measure_notifications() -> Iterator[Measurement]:
    """Frames off the socket, decoded and in the book; the client has one core at most."""
    with _node("stub_node", BOOK, NOTIFICATIONS) as port:
        url = f"ws://127.0.0.1:{port}/"
        heard = [_client("hear", url, NOTIFICATIONS) for _ in range(HEARINGS)]
        plain = _client("hear_plainly", url, NOTIFICATIONS)
    yield Measurement(
        "notifications",
        "notifications/s",
        [each["count"] / each["seconds"] for each in heard],
        n=HEARINGS * NOTIFICATIONS,
        goal=PER_S,
        higher_is_better=True,
        baseline=Baseline(
            "solana-py's WebSocket client, decoded and applied one by one", plain["count"] / plain["seconds"]
        ),
    )


def measure_latency() -> Iterator[Measurement]:
    """One thing told at a time to an engine that has nothing else to do: when is it in the queue?

    As it is by default, and kept awake as with LOW_LATENCY=on. The baseline is what sender, kernel and
    wake-up take of it here and now, asleep or awake: a machine that is busy with something else shows in
    both. And the engine's own part without any pause: how many times longer it takes after one is what an
    idle processor of this machine forgets.
    """
    with _node("paced_node") as port:
        host = f"127.0.0.1:{port}"
        for name, low_latency in (("socket_to_queue", "off"), ("socket_to_queue_awake", "on")):
            heard = _run("idle_engine", f"http://{host}/", f"ws://{host}/", TOLD, low_latency)
            bare = _run("bare_reader", f"ws://{host}/", 2 * TOLD, low_latency)["read_us"]
            yield from _latencies(name, heard, bare, "" if low_latency == "off" else AWAKE)
            if low_latency == "off":
                yield Measurement(
                    "socket_to_queue_warm",
                    "us",
                    [median(heard["again_us"])],
                    n=len(heard["again_us"]),
                    goal=WARM_US,
                    baseline=Baseline("the same calls, each after an idle pause", median(heard["taken_us"])),
                )


def _latencies(name: str, heard: dict[str, Any], bare: list[float], setting: str) -> Iterator[Measurement]:
    every = [*heard["account_us"], *heard["price_us"]]
    for kind, samples in (("", every), ("_account", heard["account_us"]), ("_price", heard["price_us"])):
        for percent, goal in ((50, P50_US), (99, P99_US)):
            value, floor = (quantiles(each, n=100)[percent - 1] for each in (samples, bare))
            yield Measurement(
                f"{name}{kind}_p{percent}",
                "us",
                [value],
                n=len(samples),
                goal=goal,
                baseline=Baseline("a process that only reads the socket", floor),
                setting=setting,
            )


@contextmanager
def _node(name: str, *arguments: object) -> Iterator[int]:
    process = subprocess.Popen(  # noqa: S603 - this program, no shell
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        port = process.stdout.readline()
        if not port:
            raise Failed("the stand-in node did not start")
        yield int(port)
    finally:
        process.communicate()


def _client(name: str, *arguments: object) -> dict[str, Any]:
    return _run("clients", name, *arguments)


def _run(module: str, *arguments: object) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - this program, no shell
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{module}: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
