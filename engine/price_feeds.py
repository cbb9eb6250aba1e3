"""The feeds that an engine watches: each symbol of the settings with its own limits over the general ones."""

from __future__ import annotations

from dataclasses import replace

from engine.oracle.feeds import WatchedFeed
from engine.oracle.verdicts import OracleLimits
from engine.settings import Settings


def watched_feeds(settings: Settings) -> list[WatchedFeed]:
    """Every symbol that is watched, in the order of the settings."""
    general = OracleLimits(
        max_age_s=settings.max_price_age_s,
        halt_age_s=settings.halt_price_age_s,
        max_confidence_bps=settings.max_confidence_bps,
        max_jump_bps=settings.max_jump_bps,
        max_divergence_bps=settings.max_divergence_bps,
    )
    return [
        WatchedFeed(each.feed, each.receiver, replace(general, **each.limits)) for each in settings.symbols
    ]
