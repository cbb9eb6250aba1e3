"""The price board: the last price of each symbol and whether it may be acted on, and since when not.

The mark is always the chain's. The second source's opinion can hold it or confirm a jump of it, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog
from solders.pubkey import Pubkey

from engine.clock import Clock
from engine.domain import Price, Verdict
from engine.oracle.feeds import WatchedFeed
from engine.oracle.holds import Hold, Holds
from engine.oracle.jumps import JumpGuard
from engine.oracle.verdicts import Opinion, is_beyond, is_fresh, is_wide
from engine.protocol.accounts import AccountRefused
from engine.protocol.addresses import Feed
from engine.protocol.pyth import PriceUpdate, decode_price_update, message_of, to_e6

log = structlog.get_logger("oracle")

SECOND = "second source: "  # before the reasons why its opinions were refused


@dataclass(slots=True)
class _Quote:
    """The mutable state of one symbol's feed; the price's verdict leaves age and second source aside."""

    watched: WatchedFeed
    guard: JumpGuard
    price: Price
    opinion: Opinion | None = None
    content: tuple[bytes, Pubkey] | None = None  # of the account, as last seen
    message: bytes = b""  # the last one that was judged, whoever posted it and when
    judged: Verdict = Verdict.MISSING  # what it was found to be

    @property
    def symbol(self) -> str:
        return self.watched.feed.symbol


class _FromTheFuture(AccountRefused):
    """The account is sound, and so may its price be: it is our clock that disagrees."""


class PriceBoard:
    """Prices by symbol, with the verdict re-made for age and for the second source at each look."""

    def __init__(self, feeds: Iterable[WatchedFeed], clock: Clock) -> None:
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._quotes = {
            watched.feed.symbol: _Quote(watched, JumpGuard(watched.limits), _missing(watched.feed.symbol))
            for watched in feeds
        }
        self._by_account = {quote.watched.feed.account: quote for quote in self._quotes.values()}
        self.holds = Holds()
        self.refused: dict[str, int] = {}
        for quote in self._quotes.values():
            self._judged(quote)

    @property
    def accounts(self) -> list[Pubkey]:
        """The price accounts to watch."""
        return list(self._by_account)

    @property
    def symbols(self) -> list[str]:
        """The symbols that have a feed."""
        return list(self._quotes)

    @property
    def feeds(self) -> list[Feed]:
        """The feed of each symbol."""
        return [quote.watched.feed for quote in self._quotes.values()]

    def feed_of(self, symbol: str) -> Feed | None:
        """The feed of a symbol, None when positions in it can never be priced."""
        quote = self._quotes.get(symbol)
        return None if quote is None else quote.watched.feed

    def current(self, symbol: str) -> Price:
        """The last price with its verdict now; a symbol without a feed is MISSING for ever."""
        quote = self._quotes.get(symbol)
        if quote is None:
            return _missing(symbol)
        return self._judged(quote)

    def hold(self, symbol: str) -> Hold | None:
        """Why and since when the symbol may not be acted on, as of the last look; None while it may."""
        return self.holds.of(symbol)

    def held_since_ns(self, symbol: str) -> int | None:
        """Since when the symbol may not be acted on, None while it may."""
        hold = self.holds.of(symbol)
        return None if hold is None else hold.since_ns

    def opinion(self, symbol: str) -> Opinion | None:
        """What the second source says of the symbol, None unless it is fresh and sure."""
        quote = self._quotes.get(symbol)
        return None if quote is None else self._opinion(quote)

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
            return self._judged(quote)
        quote.content = data, owner
        try:
            update = self._read(quote.watched, data, owner)
            price = _price(quote.symbol, update, slot)
        except AccountRefused as refusal:
            self._count(quote.symbol, refusal.reason)
            verdict = Verdict.STALE if isinstance(refusal, _FromTheFuture) else Verdict.INVALID
            quote.price = replace(quote.price, verdict=verdict, slot=slot)
            return self._judged(quote)
        if price.publish_time_s < quote.price.publish_time_s:
            return None
        message = message_of(data)
        if message != quote.message:  # the same one, posted again by somebody, is no further update
            quote.message, quote.judged = message, self._judge(quote, update, price)
        quote.price = price if quote.judged is price.verdict else replace(price, verdict=quote.judged)
        return self._judged(quote)

    def second_opinion(self, symbol: str, price_e6: int, conf_e6: int, publish_time_s: int) -> bool:
        """Take what the second source says of a symbol; whether it counts.

        Refused, and counted by reason: no positive price, a time from the future. An unsure opinion is none,
        and takes the last one back. An older one than the last changes nothing.
        """
        quote = self._quotes.get(symbol)
        if quote is None or (quote.opinion is not None and publish_time_s < quote.opinion.publish_time_s):
            return False
        limits = quote.watched.limits
        if price_e6 <= 0 or conf_e6 < 0:
            self._count(symbol, SECOND + "price is not positive")
            return False
        if publish_time_s > self._now_s() + limits.max_age_s:
            self._count(symbol, SECOND + "published in the future")
            return False
        if is_wide(price_e6, conf_e6, limits.max_confidence_bps):
            self._count(symbol, SECOND + "wide confidence")
            quote.opinion = None
            return False
        quote.opinion = Opinion(price_e6, conf_e6, publish_time_s)
        price = quote.price
        if price.verdict is Verdict.JUMP and quote.guard.confirm(
            price.price_e6, price.publish_time_s, self._opinion(quote)
        ):
            quote.judged = Verdict.OK
            quote.price = replace(price, verdict=Verdict.OK)
        self._judged(quote)
        return True

    def _read(self, watched: WatchedFeed, data: bytes, owner: Pubkey) -> PriceUpdate:
        if owner != watched.receiver:
            raise AccountRefused("wrong owner")
        update = decode_price_update(data)
        if update.feed_id != watched.feed.feed_id:
            raise AccountRefused("wrong feed id")
        if update.price <= 0:
            raise AccountRefused("price is not positive")
        # Were it kept, every honest update after it would look like an older one.
        if update.publish_time_s > self._now_s() + watched.limits.max_age_s:
            raise _FromTheFuture("published in the future")
        return update

    def _count(self, symbol: str, reason: str) -> None:
        key = f"{symbol}: {reason}"
        self.refused[key] = self.refused.get(key, 0) + 1
        if self.refused[key] == 1:
            log.warning("price refused", symbol=symbol, reason=reason)

    def _judge(self, quote: _Quote, update: PriceUpdate, price: Price) -> Verdict:
        """The verdict on a fresh update, age and divergence left aside."""
        if is_wide(update.price, update.conf, quote.watched.limits.max_confidence_bps):
            return Verdict.WIDE
        if quote.guard.believes(price.price_e6, price.publish_time_s, self._opinion(quote)):
            return Verdict.OK
        return Verdict.JUMP

    def _opinion(self, quote: _Quote) -> Opinion | None:
        opinion = quote.opinion
        if opinion is None or not is_fresh(
            opinion.publish_time_s, self._now_s(), quote.watched.limits.max_age_s
        ):
            return None
        return opinion

    def _judged(self, quote: _Quote) -> Price:
        """The price with age and second source taken into account; keeps the symbol's hold."""
        price, limits = quote.price, quote.watched.limits
        now_ns = self._clock.now_ns()
        now_s = now_ns // 10**9
        verdict = price.verdict
        if not price.price_e6:  # none was ever read: missing, or invalid from the start
            known_s = self._started_ns // 10**9
        else:
            known_s = price.publish_time_s
            if not is_fresh(known_s, now_s, limits.max_age_s):
                verdict = Verdict.STALE
            elif verdict is Verdict.OK and self._is_contradicted(quote):
                verdict = Verdict.DIVERGED
        self.holds.note(quote.symbol, verdict, now_ns, is_halted=now_s - known_s > limits.halt_age_s)
        return price if verdict is price.verdict else replace(price, verdict=verdict)

    def _is_contradicted(self, quote: _Quote) -> bool:
        opinion = self._opinion(quote)
        return opinion is not None and is_beyond(
            opinion.price_e6, quote.price.price_e6, quote.watched.limits.max_divergence_bps
        )

    def _now_s(self) -> int:
        return self._clock.now_ns() // 10**9


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
