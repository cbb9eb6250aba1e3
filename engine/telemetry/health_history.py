"""The recent healths of the positions near their liquidation price, for a chart; bounded both ways."""

from __future__ import annotations

from collections import OrderedDict, deque

from solders.pubkey import Pubkey

LENGTH = 150
POSITIONS = 500


class HealthHistory:
    """Health in thousandths by position, oldest first; the positions seen least recently are forgotten."""

    def __init__(self) -> None:
        self._samples: OrderedDict[Pubkey, deque[int]] = OrderedDict()

    def add(self, position: Pubkey, health_milli: int) -> None:
        """Append one sample."""
        samples = self._samples.setdefault(position, deque(maxlen=LENGTH))
        samples.append(health_milli)
        self._samples.move_to_end(position)
        if len(self._samples) > POSITIONS:
            self._samples.popitem(last=False)

    def of(self, position: Pubkey) -> list[int]:
        """The samples of a position."""
        return list(self._samples.get(position, ()))
