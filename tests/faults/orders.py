"""One order for every kind of trouble that the sandbox knows, and how it shows that the trouble was there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from engine.api import wire
from engine.sandbox.trouble.settings import OracleTrouble, Trouble

MET = 5  # so often at least
Shows = Callable[[Mapping[str, int], wire.Snapshot], bool]


def names(model: type[BaseModel] = Trouble, prefix: str = "") -> Iterator[str]:
    """Every setting by its path, as the sandbox's own list has it; one symbol's stand for all."""
    for name, field in model.model_fields.items():
        inner = OracleTrouble if f"{prefix}{name}" == "oracle" else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from names(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@dataclass(frozen=True)
class Order:
    """Settings for `sandboxTrouble`, and what they must have led to before they are lifted."""

    settings: dict[str, Any]
    shows: Shows
    has_crowd: bool = False  # others ask Hermes meanwhile, more often than an engine ever does


def counted(what: str, times: int = MET) -> Shows:
    """The sandbox did it so often."""
    return lambda counters, seen: counters.get(what, 0) >= times


def told(*words: str) -> Shows:
    """The engine says so of itself."""
    return lambda counters, seen: any(word in line for line in seen.engine.degraded for word in words)


def second_source(*states: str) -> Shows:
    """The second source of prices stands so."""
    return lambda counters, seen: seen.oracle is not None and seen.oracle.second_source in states


def without_second_price(counters: Mapping[str, int], seen: wire.Snapshot) -> bool:
    """The second source says nothing that could be compared."""
    return all(row.second_e6 is None for row in seen.prices)


def _http(counter: str, **settings: Any) -> Order:
    return Order({"http": settings}, counted(f"http_{counter}"))


def _websocket(counter: str, **settings: Any) -> Order:
    return Order({"websocket": settings}, counted(f"websocket_{counter}"))


def _landing(counter: str, **settings: Any) -> Order:
    return Order({"landing": settings}, counted(f"landing_{counter}"))


def _oracle(words: str, **settings: Any) -> Order:
    return Order({"oracle": {"SOL/USD": settings, "ETH/USD": settings}}, told(f"SOL/USD held: {words}"))


def _hermes(shows: Shows, **settings: Any) -> Order:
    return Order({"hermes": settings}, shows)


def _hermes_http(counter: str, **settings: Any) -> Order:
    # Streams are long: cut now and then they come back as requests, at growing intervals.
    return Order({"hermes": {"stream_s": 0.3, "http": settings}}, counted(f"hermes_{counter}", 1))


_SLOW = {"kind": "lognormal", "p50_ms": 20, "p99_ms": 400}
_EXTRA = {"http": {"methods": {"sendTransaction": {"drop_share": 0.5}}}}

ORDERS: dict[str, Order] = {
    "seed": Order({"seed": 99, "landing": {"drop_share": 0.5}}, counted("landing_dropped")),
    "http.latency": _http("delayed", latency=_SLOW),
    "http.drop_share": _http("dropped", drop_share=0.3),
    "http.repeat_share": _http("repeated", repeat_share=0.5),
    "http.rate_limit_share": _http("rate_limited", rate_limit_share=0.2),
    "http.calls_per_s": _http("rate_limited", calls_per_s=20),
    "http.retry_after_s": _http("rate_limited", rate_limit_share=0.2, retry_after_s=3),
    "http.error_share": _http("refused", error_share=0.3),
    "http.error_status": _http("refused", error_share=0.3, error_status=500),
    "http.black_hole_share": _http("unanswered", black_hole_share=0.2),
    "http.methods": Order(_EXTRA, counted("http_dropped")),
    "websocket.kinds": _websocket("dropped", kinds=["account", "program"], drop_share=0.5),
    "websocket.silent": _websocket("silenced", silent=True),
    "websocket.latency": _websocket("delayed", latency={"kind": "uniform", "low_ms": 50, "high_ms": 900}),
    "websocket.drop_share": _websocket("dropped", drop_share=0.4),
    "websocket.repeat_share": _websocket("repeated", repeat_share=0.5),
    "websocket.reorder_share": _websocket("reordered", reorder_share=0.5),
    "websocket.close_share": _websocket("closed", close_share=0.02),
    "websocket.close_after_s": _websocket("closed", close_after_s=0.5),
    "node.stands_still": Order({"node": {"stands_still": True}}, told("nothing is decided", "is not used")),
    "node.lag_slots": Order(
        {"node": {"lag_slots": 40}}, lambda counters, seen: seen.totals.full + seen.totals.partial > 0
    ),
    "landing.lost_share": _landing("lost", lost_share=0.3),
    "landing.late_share": _landing("late", late_share=0.5),
    "landing.late_slots": _landing("late", late_share=0.5, late_slots=160),
    "landing.fail_share": _landing("failed", fail_share=0.4),
    "landing.fail_error": _landing(
        "failed", fail_share=0.4, fail_error={"InstructionError": [2, {"Custom": 6004}]}
    ),
    "landing.drop_share": _landing("dropped", drop_share=0.5),
    "landing.accounts": _landing("failed", fail_share=0.5, accounts=["WALLET"]),
    "forks.every_slots": Order({"forks": {"every_slots": 8}}, counted("forks")),
    "forks.depth_slots": Order({"forks": {"every_slots": 60, "depth_slots": 20}}, counted("forks")),
    "forks.returning_share": Order({"forks": {"every_slots": 20, "returning_share": 0}}, counted("forks")),
    "forks.once": Order({"forks": {"once": True, "depth_slots": 10}}, counted("forks", 1)),
    "forks.skip_share": Order({"forks": {"skip_share": 0.5}}, counted("forks_slots_skipped")),
    "oracle.outage": _oracle("stale", outage=True),
    "oracle.age_s": _oracle("stale", age_s=30),
    "oracle.confidence_factor": _oracle("wide confidence", confidence_factor=40),
    "oracle.jump_bps": Order(
        {"oracle": {"SOL/USD": {"jump_bps": 1500}}}, told("SOL/USD held: jump", "SOL/USD held: sources")
    ),
    "hermes.bias_bps": _hermes(told("sources diverged"), bias_bps={"SOL/USD": -400, "ETH/USD": 400}),
    "hermes.confidence_factor": _hermes(without_second_price, confidence_factor=100),
    "hermes.lag_s": _hermes(without_second_price, lag_s=120),
    "hermes.silent": _hermes(without_second_price, silent=True),
    "hermes.stream_s": _hermes(second_source("connecting", "away"), stream_s=0.2),
    "hermes.http.latency": _hermes_http("delayed", latency=_SLOW),
    "hermes.http.drop_share": _hermes_http("dropped", drop_share=0.6),
    "hermes.http.repeat_share": _hermes_http("repeated", repeat_share=0.6),
    "hermes.http.rate_limit_share": _hermes_http("rate_limited", rate_limit_share=0.6),
    "hermes.http.calls_per_s": Order(
        {"hermes": {"stream_s": 0.3, "http": {"calls_per_s": 1}}},
        second_source("connecting", "away"),
        has_crowd=True,
    ),
    "hermes.http.retry_after_s": _hermes_http("rate_limited", rate_limit_share=0.9, retry_after_s=0),
    "hermes.http.error_share": _hermes_http("refused", error_share=0.6),
    "hermes.http.error_status": _hermes_http("refused", error_share=0.6, error_status=504),
    "hermes.http.black_hole_share": _hermes_http("unanswered", black_hole_share=0.9),
}
