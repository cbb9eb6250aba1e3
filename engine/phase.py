"""What the engine is doing, and how high the chain is: said in one place, read by many."""

from __future__ import annotations


class Phase:
    """What the engine is doing: starting, loading, reconciling, ready, draining."""

    def __init__(self) -> None:
        self.name = "starting"

    def set(self, name: str) -> None:
        """Go on to the next phase."""
        self.name = name

    @property
    def is_reconciled(self) -> bool:
        """Whether every open intent was looked up on the chain."""
        return self.name in ("ready", "draining")


class Heights:
    """The block height as last read, for countdowns."""

    def __init__(self) -> None:
        self.current = 0
