"""What ails the oracle on chain: per symbol an outage, old prices, wide confidence, or a jump.

The market's true prices go on underneath: a second source that is not ill still tells them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.protocol.addresses import FEEDS
from engine.protocol.pyth import PriceUpdate

_LARGEST = 2**63 - 1  # of a price, and more than any confidence


@dataclass(frozen=True, slots=True)
class OracleCondition:
    """The state of one symbol's feed; the defaults are good health.

    `outage` publishes nothing at all. `age_s` dates every update that much back. `confidence_factor`
    multiplies the confidence interval. `jump_bps` shifts the price, in basis points of it, above -10,000.
    """

    outage: bool = False
    age_s: int = 0
    confidence_factor: float = 1.0
    jump_bps: int = 0

    def __post_init__(self) -> None:
        if self.age_s < 0 or not 0 < self.confidence_factor < float("inf") or self.jump_bps <= -10_000:
            raise ValueError(f"no feed can be in the condition {self}")

    def applied_to(self, update: PriceUpdate) -> PriceUpdate | None:
        """The update as the oracle publishes it in this condition, None when it publishes nothing."""
        if self.outage:
            return None
        return replace(
            update,
            price=min(_LARGEST, max(1, update.price * (10_000 + self.jump_bps) // 10_000)),
            conf=max(1, int(min(_LARGEST, update.conf * self.confidence_factor))),
            publish_time_s=update.publish_time_s - self.age_s,
            prev_publish_time_s=update.prev_publish_time_s - self.age_s,
        )


HEALTHY = OracleCondition()


class OracleConditions:
    """The condition of every symbol's feed; set from outside at any time, in force from the next slot."""

    def __init__(self) -> None:
        self._conditions: dict[str, OracleCondition] = {}

    def of(self, symbol: str) -> OracleCondition:
        """The condition of a symbol's feed."""
        return self._conditions.get(symbol, HEALTHY)

    def set(self, symbol: str, condition: OracleCondition) -> None:
        """Put a symbol's feed into a condition; raises KeyError for a symbol that has no feed."""
        if symbol not in FEEDS:
            raise KeyError(symbol)
        self._conditions[symbol] = condition

    def clear(self) -> None:
        """Every feed is healthy again."""
        self._conditions.clear()
