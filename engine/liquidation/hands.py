"""Who is at work on what: so many hands, and one more that is kept for what is more urgent than all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.liquidation.queue import Entry


class Hands:
    """The entries that are worked on: `count` of whatever comes, and one that is worse than all of those."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: set[Entry] = set()

    def __len__(self) -> int:
        return len(self._held)

    def may_take(self, entry: Entry) -> bool:
        """Whether one more may be taken: beyond `count` only what is worse than all that is held.

        So a node, a disk or a connection that keeps every hand waiting does not keep the worst position
        waiting with them.
        """
        if len(self._held) < self._count:
            return True
        return len(self._held) == self._count and all(_rank(entry) < _rank(held) for held in self._held)

    @contextmanager
    def hold(self, entry: Entry) -> Iterator[None]:
        """One hand is at work on this until the end of the block."""
        self._held.add(entry)
        try:
            yield
        finally:
            self._held.discard(entry)


def _rank(entry: Entry) -> tuple[float, int]:
    return entry.health_factor, -entry.value_e6
