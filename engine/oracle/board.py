"""The price board: the last price of each symbol and whether it may be acted on, and since when not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog
from solders.pubkey import Pubkey

from engine.clock import Clock
from engine.domain import Price, Verdict
from engine.protocol.accounts import AccountRefused
from engine.protocol.addresses import Feed
from engine.protocol.pyth import PriceUpdate, decode_price_update, to_e6

log = structlog.get_logger("oracle")

CONFIRMING_UPDATES = 2  # further updates near a jump that make it believed


@dataclass(frozen=True, slots=True)
class OracleLimits:
    """When a price is not to be acted on; ages in seconds, ratios in basis points."""

    max_age_s: int = 60
    max_confidence_bps: int = 100
    max_jump_bps: int = 1_000


@dataclass(slots=True)
class _Quote:
    """The mutable state of one symbol's feed."""

    feed: Feed
    price: Price
    accepted_e6: int = 0  # the last price that was not a jump
    jump_e6: int = 0
    jump_updates: int = 0
    held_since_ns: int | None = None
    content: tuple[bytes, Pubkey] | None = None  # of the account, as last seen


class PriceBoard:
    """Prices by symbol, with the verdict re-made for age at each look."""

    def __init__(self, feeds: Iterable[Feed], limits: OracleLimits, oracle: Pubkey, clock: Clock) -> None:
        self._limits = limits
        self._oracle = oracle
        self._clock = clock
        now_ns = clock.now_ns()
        self._quotes = {
            feed.symbol: _Quote(feed, _missing(feed.symbol), held_since_ns=now_ns) for feed in feeds
        }
        self._by_account = {quote.feed.account: quote for quote in self._quotes.values()}
        self.refused: dict[str, int] = {}

    @property
    def accounts(self) -> list[Pubkey]:
        """The price accounts to watch."""
        return list(self._by_account)

    @property
    def symbols(self) -> list[str]:
        """The symbols that have a feed."""
        return list(self._quotes)

    def feed_of(self, symbol: str) -> Feed | None:
        """The feed of a symbol, None when positions in it can never be priced."""
        quote = self._quotes.get(symbol)
        return None if quote is None else quote.feed

    def current(self, symbol: str) -> Price:
        """The last price with its verdict now; a symbol without a feed is MISSING for ever."""
        quote = self._quotes.get(symbol)
        if quote is None:
            return _missing(symbol)
        return self._aged(quote)

    def held_since_ns(self, symbol: str) -> int | None:
        """Since when the symbol may not be acted on, None while it may."""
        quote = self._quotes.get(symbol)
        return None if quote is None else quote.held_since_ns

    def apply(self, account: Pubkey, data: bytes, owner: Pubkey, slot: int) -> Price | None:
        """Take a price account's new content; returns the price with its verdict.

        None when the account is not on the board or the update is older than what is known.
        """
        quote = self._by_account.get(account)
        if quote is None or slot < quote.price.slot:
            return None
        if quote.content == (data, owner):
            # Snapshots and notifications bring one update several times: it confirms nothing anew.
            quote.price = replace(quote.price, slot=slot)
            return self._aged(quote)
        quote.content = data, owner
        try:
            update = self._read(quote.feed, data, owner)
            price = _price(quote.feed.symbol, update, slot)
        except AccountRefused as refusal:
            self._count(quote.feed.symbol, refusal.reason)
            quote.price = replace(quote.price, verdict=Verdict.INVALID, slot=slot)
            return self._aged(quote)
        if price.publish_time_s < quote.price.publish_time_s:
            return None
        quote.price = replace(price, verdict=self._judge(quote, price))
        return self._aged(quote)

    def _read(self, feed: Feed, data: bytes, owner: Pubkey) -> PriceUpdate:
        if owner != self._oracle:
            raise AccountRefused("wrong owner")
        update = decode_price_update(data)
        if update.feed_id != feed.feed_id:
            raise AccountRefused("wrong feed id")
        if update.price <= 0:
            raise AccountRefused("price is not positive")
        # Were it kept, every honest update after it would look like an older one.
        if update.publish_time_s > self._clock.now_ns() // 10**9 + self._limits.max_age_s:
            raise AccountRefused("published in the future")
        return update

    def _count(self, symbol: str, reason: str) -> None:
        key = f"{symbol}: {reason}"
        self.refused[key] = self.refused.get(key, 0) + 1
        if self.refused[key] == 1:
            log.warning("price account refused", symbol=symbol, reason=reason)

    def _judge(self, quote: _Quote, price: Price) -> Verdict:
        """The verdict on a fresh update, age left aside."""
        # The same products as the program compares, so that neither acts where the other refuses.
        if price.conf_e6 * 10_000 > self._limits.max_confidence_bps * price.price_e6:
            return Verdict.WIDE
        if quote.accepted_e6 and self._is_jump(price.price_e6, quote.accepted_e6):
            return self._await_confirmation(quote, price)
        quote.accepted_e6, quote.jump_updates = price.price_e6, 0
        return Verdict.OK

    def _await_confirmation(self, quote: _Quote, price: Price) -> Verdict:
        """A jump is believed when two further updates stay near it."""
        if quote.jump_updates and not self._is_jump(price.price_e6, quote.jump_e6):
            quote.jump_updates += 1
        else:
            quote.jump_updates = 1
        quote.jump_e6 = price.price_e6
        if quote.jump_updates <= CONFIRMING_UPDATES:
            return Verdict.JUMP
        quote.accepted_e6, quote.jump_updates = price.price_e6, 0
        return Verdict.OK

    def _is_jump(self, price_e6: int, from_e6: int) -> bool:
        return abs(price_e6 - from_e6) * 10_000 > self._limits.max_jump_bps * from_e6

    def _aged(self, quote: _Quote) -> Price:
        """The price with its age taken into account; notes since when the symbol is held."""
        price = quote.price
        if price.verdict is not Verdict.MISSING:
            age_s = self._clock.now_ns() // 10**9 - price.publish_time_s
            # A publish time from the future is as useless as an old one.
            if not -self._limits.max_age_s <= age_s <= self._limits.max_age_s:
                price = replace(price, verdict=Verdict.STALE)
        if price.verdict is Verdict.OK:
            if quote.held_since_ns is not None:
                log.info("price usable", symbol=price.symbol)
            quote.held_since_ns = None
        elif quote.held_since_ns is None:
            quote.held_since_ns = self._clock.now_ns()
            log.warning("price held", symbol=price.symbol, verdict=price.verdict.value)
        return price


def _missing(symbol: str) -> Price:
    return Price(symbol, 0, 0, 0, 0, 0, 0, Verdict.MISSING)


def _price(symbol: str, update: PriceUpdate, slot: int) -> Price:
    price_e6 = to_e6(update.price, update.exponent)
    if price_e6 == 0:
        raise AccountRefused("price truncates to zero")
    return Price(
        symbol=symbol,
        price_e6=price_e6,
        conf_e6=to_e6(update.conf, update.exponent),
        raw_price=update.price,
        exponent=update.exponent,
        publish_time_s=update.publish_time_s,
        slot=slot,
        verdict=Verdict.OK,
    )
