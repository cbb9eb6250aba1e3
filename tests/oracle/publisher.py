"""A board on virtual time with a publisher of SOL/USD and a second source, both told what to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from simulated import START_NS, VirtualClock
from solders.pubkey import Pubkey

from engine.domain import Price, Verdict
from engine.oracle.board import PriceBoard
from engine.oracle.feeds import WatchedFeed, default_feeds
from engine.protocol.addresses import PYTH_RECEIVER, SOL_USD
from engine.protocol.pyth import PriceUpdate, encode_price_update

NOW_S = START_NS // 10**9
STRANGER = Pubkey.new_unique()
SOL = "SOL/USD"


class Oracle:
    """A board with all feeds, and a publisher of SOL/USD at 100.00, exponent -8."""

    def __init__(self, feeds: Iterable[WatchedFeed] | None = None) -> None:
        self.clock = VirtualClock()
        self.board = PriceBoard(feeds or default_feeds(), self.clock)
        self.slot = 100
        self.posted = 0

    @property
    def now_s(self) -> int:
        return self.clock.now_ns() // 10**9

    def publish(
        self, dollars: float = 100, *, owner: Pubkey = PYTH_RECEIVER, slot: int | None = None, **changes: Any
    ) -> Price | None:
        """Another message of the publishers, posted in the next slot."""
        self.slot += 1
        self.posted += 1
        update = PriceUpdate(
            write_authority=STRANGER,
            feed_id=SOL_USD.feed_id,
            price=round(dollars * 10**8),
            conf=0,
            exponent=-8,
            publish_time_s=self.now_s,
            prev_publish_time_s=0,
            ema_price=self.posted,  # another message each time, whatever the price
            ema_conf=0,
            posted_slot=self.posted,
        )
        self.update = replace(update, **changes)
        self.data = encode_price_update(self.update)
        return self.board.apply(SOL_USD.account, self.data, owner, self.slot if slot is None else slot)

    def again(self, data: bytes) -> Price | None:
        """Another account content, in a new slot."""
        self.slot += 1
        return self.board.apply(SOL_USD.account, data, PYTH_RECEIVER, self.slot)

    def second(self, price_e6: int, *, conf_e6: int = 0, publish_time_s: int | None = None) -> bool:
        """What the second source says of SOL/USD now."""
        time_s = self.now_s if publish_time_s is None else publish_time_s
        return self.board.second_opinion(SOL, price_e6, conf_e6, time_s)

    @property
    def now(self) -> Price:
        return self.board.current(SOL)

    @property
    def verdict(self) -> Verdict:
        return self.now.verdict
