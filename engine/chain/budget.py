"""How many requests an endpoint may get: a bucket that fills at a steady rate and holds a second's worth."""

from __future__ import annotations

from engine.clock import Clock

RESERVE_SHARE = 5  # a fifth of the bucket is kept for reads that somebody waits for


class Budget:
    """A token bucket; `per_s` requests per second, as many at once."""

    def __init__(self, per_s: int, clock: Clock) -> None:
        self.per_s = per_s
        self._clock = clock
        self._left_ns = per_s * 10**9  # tokens times 1e9: whole numbers do not drift
        self._at_ns = clock.monotonic_ns()

    @property
    def left(self) -> int:
        """Requests that could be made now; negative after sends, which are never held back."""
        self._fill()
        return self._left_ns // 10**9

    def take(self, *, keep_reserve: bool) -> bool:
        """Take one request, leaving the reserve alone if told so; False when there is none."""
        reserve = self.per_s // RESERVE_SHARE if keep_reserve else 0
        if self.left < 1 + reserve:
            return False
        self._left_ns -= 10**9
        return True

    def charge(self) -> None:
        """Count a request that is made whatever the budget says: signed bytes are not held back."""
        self._fill()
        self._left_ns = max(self._left_ns - 10**9, -self.per_s * 10**9)

    def wait_s(self, *, keep_reserve: bool) -> float:
        """How long until `take` would succeed."""
        reserve = self.per_s // RESERVE_SHARE if keep_reserve else 0
        self._fill()
        missing_ns = (1 + reserve) * 10**9 - self._left_ns
        return max(0.0, missing_ns / self.per_s / 1e9)

    def _fill(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._left_ns = min(self.per_s * 10**9, self._left_ns + (now_ns - self._at_ns) * self.per_s)
        self._at_ns = now_ns
