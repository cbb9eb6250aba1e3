"""How true and how fresh the service is: what it distorts and what it holds back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.protocol.pyth import PriceUpdate

_BPS = 10_000


@dataclass(frozen=True, slots=True)
class HermesConditions:
    """What is wrong with the service at the moment.

    `bias_bps` moves the prices of single symbols, in basis points; `confidence_factor` widens every
    confidence; `lag_s` makes everything that old; a `silent` service keeps streams open and says nothing;
    a stream is cut after `stream_s`.
    """

    bias_bps: Mapping[str, int] = field(default_factory=dict)
    confidence_factor: int = 1
    lag_s: int = 0
    silent: bool = False
    stream_s: float | None = None

    def distorted(self, symbol: str, update: PriceUpdate) -> PriceUpdate:
        """The update as this service tells it."""
        bias_bps = self.bias_bps.get(symbol, 0)
        if bias_bps == 0 and self.confidence_factor == 1:
            return update
        return replace(
            update,
            price=update.price * (_BPS + bias_bps) // _BPS,
            ema_price=update.ema_price * (_BPS + bias_bps) // _BPS,
            conf=update.conf * self.confidence_factor,
            ema_conf=update.ema_conf * self.confidence_factor,
        )
