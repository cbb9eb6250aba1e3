"""What each named statement cost, as the engine measures it: calls and time.

The times are those that the engine waited: the server's work and the way there and back.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Cost:
    """Calls of one statement and what they took together, in milliseconds."""

    calls: int = 0
    total_ms: float = 0.0


class StatementStatistics:
    """Counts since the last `take`; one entry per named statement, so it never grows."""

    def __init__(self) -> None:
        self._costs: dict[str, Cost] = {}

    def add(self, name: str, calls: int, elapsed_s: float) -> None:
        """Note that a statement was run `calls` times in `elapsed_s` altogether."""
        cost = self._costs.setdefault(name, Cost())
        cost.calls += calls
        cost.total_ms += elapsed_s * 1000

    def take(self) -> dict[str, Cost]:
        """What was counted, and start again from nothing."""
        taken, self._costs = self._costs, {}
        return taken

    def put_back(self, taken: dict[str, Cost]) -> None:
        """Count again what could not be sent."""
        for name, cost in taken.items():
            self.add(name, cost.calls, cost.total_ms / 1000)
