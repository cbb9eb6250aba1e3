"""Watches the prices' verdicts: each change is told to the operator, and what was let go is acted on.

A verdict changes with an update of the chain's, with a word of the second source, or with time alone.
"""

from __future__ import annotations

from typing import Final

import structlog
from solders.pubkey import Pubkey

from engine.clock import Clock
from engine.domain import Price, Verdict
from engine.liquidation.detector import Detector
from engine.oracle.board import PriceBoard
from engine.oracle.hermes import SourceState
from engine.telemetry.events import EventLog, Level

log = structlog.get_logger("oracle")

LOOK_S: Final = 0.5  # ages are counted in seconds


class PriceWatch:
    """The way of every price from the sources to the detector."""

    def __init__(self, *, board: PriceBoard, detector: Detector, events: EventLog, clock: Clock) -> None:
        self._board = board
        self._detector = detector
        self._events = events
        self._clock = clock
        self._told: dict[str, tuple[Verdict, bool, int]] = {}  # verdict, halted, since when it is held
        self._second = SourceState.CONNECTING

    def on_account(self, address: Pubkey, data: bytes, owner: Pubkey, slot: int) -> None:
        """A price account changed in this slot."""
        price = self._board.apply(address, data, owner, slot)
        if price is None:
            return
        self._tell(price)
        if price.verdict is Verdict.OK:
            self._detector.on_price(price)

    def on_opinion(self, symbol: str, price_e6: int, conf_e6: int, publish_time_s: int) -> None:
        """The second source says this of a symbol: it may hold its price, or let it go."""
        if self._board.second_opinion(symbol, price_e6, conf_e6, publish_time_s):
            self._look_at(symbol)

    def on_second_source(self, state: SourceState, message: str) -> None:
        """The second source is in another state now."""
        before, self._second = self._second, state
        if state is SourceState.OK:
            self._events.add(Level.INFO, "the second price source is there")
        elif state is SourceState.REFUSED:
            self._events.add(Level.DANGER, f"no second price source: {message}")
        elif before is not state:
            self._events.add(Level.ATTENTION, f"second price source away: {message}")

    def look(self) -> None:
        """Look at every symbol: prices grow old without any news."""
        for symbol in self._board.symbols:
            self._look_at(symbol)

    async def run(self) -> None:
        """Look around twice a second; ends only by cancellation."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_S)

    def _look_at(self, symbol: str) -> None:
        before = self._told.get(symbol)
        price = self._board.current(symbol)
        self._tell(price)
        if price.verdict is Verdict.OK and before is not None and before[0] is not Verdict.OK:
            self._detector.on_price(price)

    def _tell(self, price: Price) -> None:
        """Say what changed of a symbol's verdict since it was last told."""
        hold = self._board.hold(price.symbol)
        is_halted = hold is not None and hold.is_halted
        since_ns = self._clock.now_ns() if hold is None else hold.since_ns
        before = self._told.get(price.symbol)
        self._told[price.symbol] = (price.verdict, is_halted, since_ns)
        if before is None and price.verdict in (Verdict.OK, Verdict.MISSING):
            return  # the first price of a start is no news
        verdict, was_halted, held_since_ns = before or (Verdict.OK, False, since_ns)
        if is_halted and not was_halted:
            age_s = self._clock.now_ns() // 10**9 - price.publish_time_s
            why = f"its last price is {age_s} s old" if price.price_e6 else "none was ever read"
            self._events.add(Level.DANGER, f"price {price.symbol} HALTED: {why}")
        elif price.verdict is verdict:
            return
        elif price.verdict is not Verdict.OK:
            self._events.add(Level.ATTENTION, f"price {price.symbol} held: {price.verdict.value}")
        elif verdict is not Verdict.MISSING:
            held_s = max(0, self._clock.now_ns() - held_since_ns) // 10**9
            self._events.add(Level.INFO, f"price {price.symbol} ok after {held_s} s: was {verdict.value}")
