"""The market's oracle: turns prices into Pyth updates, which the chain and Hermes both carry."""

from __future__ import annotations

from random import Random

from engine.protocol.addresses import Feed
from engine.protocol.pyth import PriceUpdate
from engine.sandbox.market.prices import EXPONENT

# 134 bytes and the account's overhead of 128 at 6,960 lamports a byte: what the real feeds hold.
FEED_ACCOUNT_LAMPORTS = 1_823_520

_EMA_TICKS = 9_000  # Pyth averages over about an hour
_CONF_PPM = (500, 1_000)


class FeedPublisher:
    """Publishes one feed; keeps what the next update says about the one before.

    The write authority is the feed's own address, which signs for itself on the real push oracle.
    """

    def __init__(self, feed: Feed, rng: Random) -> None:
        self._feed = feed
        self._rng = rng
        self._ema_scaled: int | None = None
        self._previous_publish_time_s = 0

    def update(self, price: int, publish_time_s: int, slot: int) -> PriceUpdate:
        """The update for a price of 1e-8 USD at a Unix time and slot.

        The confidence is drawn between 0.05 % and 0.1 % of the price.
        """
        if self._ema_scaled is None:
            self._ema_scaled = price * _EMA_TICKS
            self._previous_publish_time_s = publish_time_s
        else:
            self._ema_scaled += price - self._ema_scaled // _EMA_TICKS
        conf = max(1, price * self._rng.randint(*_CONF_PPM) // 1_000_000)
        update = PriceUpdate(
            write_authority=self._feed.account,
            feed_id=self._feed.feed_id,
            price=price,
            conf=conf,
            exponent=EXPONENT,
            publish_time_s=publish_time_s,
            prev_publish_time_s=self._previous_publish_time_s,
            ema_price=self._ema_scaled // _EMA_TICKS,
            ema_conf=conf,
            posted_slot=slot,
        )
        self._previous_publish_time_s = publish_time_s
        return update
