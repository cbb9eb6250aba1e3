"""The risk figures of every symbol, made anew at most once a second, and only where something changed."""

from __future__ import annotations

from dataclasses import dataclass

from engine.book.book import Book
from engine.book.risk import BandCounts, SymbolRisk, symbol_risk
from engine.clock import Clock
from engine.domain import Price, Verdict
from engine.oracle.board import PriceBoard

PERIOD_S = 1.0
REFRESHED_AT_ONCE = 3
"""A symbol whose positions have all changed costs three to four milliseconds in a book of a million."""


@dataclass(frozen=True, slots=True)
class RiskFigures:
    """One symbol's figures, the price that they are for, and when they were made."""

    price: Price
    risk: SymbolRisk
    made_at_ns: int


class RiskBoard:
    """Keeps the newest figures; between two symbols the event loop goes on."""

    def __init__(self, book: Book, board: PriceBoard, clock: Clock) -> None:
        self._book = book
        self._board = board
        self._clock = clock
        self._seen: dict[str, tuple[int, Verdict, int]] = {}
        self._figures: dict[str, RiskFigures] = {}

    async def run(self) -> None:
        """Go round for ever; ends only by cancellation."""
        while True:
            for symbol in self._board.symbols:
                self.refresh(symbol)
                await self._clock.sleep(0)
            await self._clock.sleep(PERIOD_S)

    def refresh(self, symbol: str) -> bool:
        """Make a symbol's figures anew if its price or its positions changed; returns whether they did."""
        price = self._board.current(symbol)
        version = sum(flank.version for flank in self._book.shelves.flanks(symbol))
        seen = (price.price_e6, price.verdict, version)
        if self._seen.get(symbol) == seen:
            return False
        self._figures[symbol] = RiskFigures(price, symbol_risk(self._book, price), self._clock.now_ns())
        self._seen[symbol] = seen
        return True

    def figures(self) -> list[RiskFigures]:
        """What is known, in the order of the symbols; nothing for one that was not looked at yet."""
        return [known for symbol in self._board.symbols if (known := self._figures.get(symbol)) is not None]

    def bands(self, refreshed: int | None = None) -> BandCounts:
        """All symbols together, from what is known of each; what is not known of one is unknown.

        Up to `refreshed` symbols that changed, by default a few, are made anew first; more of them when their
        turn comes, within a second or two. A symbol whose price may not be acted on counts as unknown from
        that moment on.
        """
        left = REFRESHED_AT_ONCE if refreshed is None else refreshed
        for symbol in self._board.symbols:
            left -= left > 0 and self.refresh(symbol)
        known = [
            figures.risk.bands
            for figures in self.figures()
            if self._board.current(figures.price.symbol).verdict is Verdict.OK
        ]
        monitored = len(self._book)
        healthy = sum(bands.healthy for bands in known)
        at_risk = sum(bands.at_risk for bands in known)
        liquidatable = sum(bands.liquidatable for bands in known)
        return BandCounts(
            monitored=monitored,
            healthy=healthy,
            at_risk=at_risk,
            liquidatable=liquidatable,
            # Some may have closed since they were counted.
            unknown=max(0, monitored - healthy - at_risk - liquidatable),
            healthy_value_e6=sum(bands.healthy_value_e6 for bands in known),
            at_risk_value_e6=sum(bands.at_risk_value_e6 for bands in known),
            liquidatable_value_e6=sum(bands.liquidatable_value_e6 for bands in known),
        )
