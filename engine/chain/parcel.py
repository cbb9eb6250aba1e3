"""What is handed over to be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parcel:
    """One signed transaction to be sent; see engine.chain.sender."""

    raw: bytes
    on_write: Callable[[int], None]
    still_wanted: Callable[[], bool]
