"""What the service says at a moment: the newest quotes, older ones while it lags, others while it lies."""

from __future__ import annotations

from collections import deque

from engine.protocol.addresses import FEEDS
from engine.protocol.pyth import PriceUpdate
from engine.sandbox.hermes.conditions import HermesConditions
from engine.sandbox.hermes.source import PriceSource

MAX_LAG_S = 600
# Ten minutes of slots of 400 ms many times over; with quicker slots the oldest are forgotten, not the newest.
_MOMENTS_KEPT = 16_384

Moment = tuple[PriceUpdate, ...]


class Publication:
    """Remembers what the publishers said, as far back as a service may lag."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source
        self._moments: deque[Moment] = deque(maxlen=_MOMENTS_KEPT)
        self._symbols = {feed.feed_id: symbol for symbol, feed in FEEDS.items()}
        self.take_down()

    @property
    def feed_ids(self) -> set[bytes]:
        """The feeds that there are prices of."""
        return {update.feed_id for update in self._source.quotes.values()}

    def take_down(self) -> None:
        """Remember what the publishers say now."""
        moment = tuple(self._source.quotes.values())
        if not moment or (self._moments and self._moments[-1] == moment):
            return
        self._moments.append(moment)
        forgotten_s = _published_s(moment) - MAX_LAG_S
        while len(self._moments) > 1 and _published_s(self._moments[1]) < forgotten_s:
            self._moments.popleft()

    def quotes(self, conditions: HermesConditions) -> dict[bytes, PriceUpdate]:
        """What a service in these conditions says, by feed id."""
        if not self._moments:
            return {}
        return {
            update.feed_id: conditions.distorted(self._symbols[update.feed_id], update)
            for update in self._moment(conditions.lag_s)
        }

    def _moment(self, lag_s: int) -> Moment:
        newest = self._moments[-1]
        if lag_s == 0:
            return newest
        until_s = _published_s(newest) - lag_s
        for moment in reversed(self._moments):
            if _published_s(moment) <= until_s:
                return moment
        return self._moments[0]


def _published_s(moment: Moment) -> int:
    return max(update.publish_time_s for update in moment)
