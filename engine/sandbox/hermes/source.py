"""Where the service gets its prices: the publishers of a market, not the chain that carries them as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.protocol.pyth import PriceUpdate


class PriceSource(Protocol):
    """The publishers of a market."""

    @property
    def quotes(self) -> Mapping[str, PriceUpdate]:
        """The newest update of each symbol that has a feed; not to be changed by the reader."""
        ...
