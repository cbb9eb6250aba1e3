"""The limits of a price and the exact comparisons behind its verdict: whole numbers, nothing divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class OracleLimits:
    """When a symbol's price is not to be acted on; ages in seconds, ratios in basis points.

    Older than `max_age_s` the program refuses the price, and we hold; when nothing younger than `halt_age_s`
    is known any more, the symbol counts as halted, which says the same louder.
    """

    max_age_s: int = 60
    halt_age_s: int = 300
    max_confidence_bps: int = 100
    max_jump_bps: int = 1_000
    max_divergence_bps: int = 100


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the second source last said of a symbol. It can hold a price or confirm one, and never be one."""

    price_e6: int
    conf_e6: int
    publish_time_s: int


def is_wide(price: int, conf: int, limit_bps: int) -> bool:
    """Whether the confidence interval is more than `limit_bps` of the price.

    Both in one scale, as published: this is the product that the program compares as well.
    """
    return conf * BPS > limit_bps * price


def is_beyond(price_e6: int, from_e6: int, limit_bps: int) -> bool:
    """Whether a price is more than `limit_bps` of `from_e6` away from it, up or down."""
    return abs(price_e6 - from_e6) * BPS > limit_bps * from_e6


def is_fresh(publish_time_s: int, now_s: int, max_age_s: int) -> bool:
    """Whether a price may be acted on by its age; a time in the future is as useless as an old one."""
    return -max_age_s <= now_s - publish_time_s <= max_age_s
