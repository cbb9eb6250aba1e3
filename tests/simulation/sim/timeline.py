"""The world's time: what is going to happen outside of the engine, in order, and a hash of all that did."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import blake2b

START_S = 1_760_000_000  # of the Unix clock, when a run begins


class Timeline:
    """Seconds since the run began. What is due at one instant happens in the order of its arrangement."""

    def __init__(self, *, keep_lines: bool = False) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._arranged = 0
        self._hash = blake2b(digest_size=16)
        self._unhashed: list[str] = []
        self.lines: list[str] | None = [] if keep_lines else None

    @property
    def next_s(self) -> float:
        """When something happens next; infinity when nothing is arranged."""
        return self._due[0][0] if self._due else float("inf")

    def after(self, delay_s: float, happening: Callable[[], None]) -> None:
        """Arrange that something happens."""
        self._arranged += 1
        heapq.heappush(self._due, (self.now_s + delay_s, self._arranged, happening))

    def happen(self) -> None:
        """Let everything happen that is due by now."""
        due = self._due
        while due and due[0][0] <= self.now_s:
            heapq.heappop(due)[2]()

    def pass_until(self, end_s: float) -> None:
        """Let time pass while no engine runs."""
        while self.next_s <= end_s:
            self.now_s = self.next_s
            self.happen()
        self.now_s = max(self.now_s, end_s)

    def note(self, line: str) -> None:
        """Something happened; it becomes part of the trace."""
        text = f"{self.now_s:.6f} {line}"
        self._unhashed.append(text)
        if self.lines is not None:
            self.lines.append(text)

    def digest(self) -> str:
        """The hash of the trace so far."""
        self._hash.update("".join(self._unhashed).encode())
        self._unhashed.clear()
        return self._hash.hexdigest()
