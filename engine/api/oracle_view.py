"""What viewers see of the oracle step: each price with its hold, the second source, and counts of both."""

from __future__ import annotations

from engine.api import wire
from engine.api.clean import clean
from engine.api.position_view import TEXT_LIMIT
from engine.clock import Clock
from engine.domain import Price, Verdict
from engine.oracle.board import PriceBoard
from engine.oracle.hermes import HermesClient, SourceState


class OracleViews:
    """Builds the price rows of a snapshot; reads only, and awaits nothing."""

    def __init__(self, board: PriceBoard, hermes: HermesClient, clock: Clock) -> None:
        self._board = board
        self._hermes = hermes
        self._clock = clock

    def row(self, price: Price) -> wire.PriceRow:
        """One symbol, as the board last judged it."""
        hold, opinion = self._board.hold(price.symbol), self._board.opinion(price.symbol)
        return wire.PriceRow(
            symbol=clean(price.symbol, 32),
            price_e6=price.price_e6,
            conf_e6=price.conf_e6,
            publish_time_s=price.publish_time_s,
            age_ms=self._age_ms(price.publish_time_s),
            verdict=price.verdict.value,
            held_since_ns=None if hold is None else hold.since_ns,
            halted=hold is not None and hold.is_halted,
            second_e6=None if opinion is None else opinion.price_e6,
            second_age_ms=None if opinion is None else self._age_ms(opinion.publish_time_s),
        )

    def view(self) -> wire.OracleView:
        """The second source, and what was refused and held so far."""
        refused = self._board.refused | {
            f"second source: {reason}": count for reason, count in self._hermes.refused.items()
        }
        return wire.OracleView(
            second_source=self._hermes.state.value,
            message=clean(self._hermes.message, TEXT_LIMIT),
            refused={clean(reason, TEXT_LIMIT): count for reason, count in refused.items()},
            holds={clean(name, TEXT_LIMIT): count for name, count in self._board.holds.begun.items()},
            held_ms={
                clean(symbol, 32): held_ns // 10**6 for symbol, held_ns in self._board.holds.held_ns.items()
            },
        )

    def degraded(self, prices: list[Price]) -> list[str]:
        """In words, what is not as it should be right now."""
        found = []
        for price in prices:
            hold = self._board.hold(price.symbol)
            if price.verdict is not Verdict.OK:
                how = "halted" if hold is not None and hold.is_halted else "held"
                found.append(f"{clean(price.symbol, 32)} {how}: {price.verdict.value}")
        if self._hermes.state in (SourceState.AWAY, SourceState.REFUSED):
            found.append(f"no second price source: {clean(self._hermes.message, TEXT_LIMIT)}")
        return found

    def _age_ms(self, publish_time_s: int) -> int:
        age_ns = self._clock.now_ns() - publish_time_s * 10**9
        return max(0, age_ns) // 10**6 if publish_time_s else 0
