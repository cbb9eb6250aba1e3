"""What is watched of one symbol: its feed, the program that must own its account, its limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from solders.pubkey import Pubkey

from engine.oracle.verdicts import OracleLimits
from engine.protocol.addresses import FEEDS, PYTH_RECEIVER, Feed


@dataclass(frozen=True, slots=True)
class WatchedFeed:
    """A feed as the board watches it; a price account that `receiver` does not own is refused."""

    feed: Feed
    receiver: Pubkey = PYTH_RECEIVER
    limits: OracleLimits = field(default_factory=OracleLimits)


def default_feeds() -> list[WatchedFeed]:
    """The protocol's own feeds with the documented limits."""
    return [WatchedFeed(feed) for feed in FEEDS.values()]
