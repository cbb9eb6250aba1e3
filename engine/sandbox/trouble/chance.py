"""Draws: which of several shares comes true, how long a latency lasts, what fate a signature has."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from random import Random

from engine.sandbox.trouble.settings import FixedLatency, Latency, UniformLatency

_P99_DEVIATIONS = 2.3263478740408408  # of a normal distribution


def which(drawn: float, shares: Mapping[str, float]) -> str | None:
    """The one of several shares that a number from 0 to 1 falls into; None when it falls beside them."""
    for name, share in shares.items():
        if drawn < share:
            return name
        drawn -= share
    return None


def latency_s(latency: Latency | None, rng: Random) -> float:
    """How long it takes this time, in seconds."""
    if latency is None:
        return 0.0
    if isinstance(latency, FixedLatency):
        return latency.ms / 1000
    if isinstance(latency, UniformLatency):
        return rng.uniform(latency.low_ms, latency.high_ms) / 1000
    deviation = math.log(latency.p99_ms / latency.p50_ms) / _P99_DEVIATIONS
    return latency.p50_ms * math.exp(rng.gauss(0, deviation)) / 1000


def drawn_by(seed: int, content: bytes) -> float:
    """A number from 0 to 1 that depends on nothing but a seed and some bytes."""
    digest = hashlib.sha256(seed.to_bytes(8, "little") + content).digest()
    return int.from_bytes(digest[:7], "little") / 2**56
