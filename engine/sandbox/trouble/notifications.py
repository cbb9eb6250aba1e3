"""Trouble with a node's notifications: silence, loss, repetition, disorder, delay, closed connections."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from random import Random

from engine.sandbox.cluster.serving.interference import Cut, Push
from engine.sandbox.market.seeds import generator
from engine.sandbox.trouble.chance import latency_s, which
from engine.sandbox.trouble.settings import WebSocketTrouble

MOST_HELD = 10_000
LONGEST_HELD_S = 1.0  # one that should follow the next comes by itself when there is no next
_HEAD_BYTES = 120
_KIND = re.compile(rb'"method":\s*"(\w+)Notification"')


class Notifications:
    """The ways of all connections' notifications of one node, under the same settings."""

    def __init__(self, name: str, counters: Counter[str]) -> None:
        self._name = name
        self._counters = counters
        self.set(WebSocketTrouble(), seed=0)

    def set(self, settings: WebSocketTrouble, seed: int) -> None:
        """Follow these settings from the next notification on; their draws begin anew."""
        self.settings = settings
        self.rng: Random = generator(seed, f"{self._name} notifications")

    def way(self, push: Push, cut: Cut) -> Push:
        """The way of one connection's notifications."""
        return _Way(self, push, cut).take

    def count(self, what: str) -> None:
        """Count something that was done to a notification."""
        self._counters[f"{self._name}_{what}"] += 1


class _Way:
    """One connection's notifications, on their way."""

    def __init__(self, all_ways: Notifications, push: Push, cut: Cut) -> None:
        self._all = all_ways
        self._push = push
        self._cut = cut
        self._loop = asyncio.get_running_loop()
        self._since_s = self._loop.time()
        self._late: deque[tuple[float, bytes]] = deque()
        self._overtaken: bytes | None = None

    def take(self, message: bytes) -> None:
        """Let a notification through, or do to it what its draw says."""
        settings = self._all.settings
        if settings.kinds is not None and _kind(message) not in settings.kinds:
            self._deliver(message)
            return
        if settings.silent:
            self._all.count("silenced")
            return
        if settings.close_after_s is not None and self._age_s() > settings.close_after_s:
            self._close()
            return
        met = which(
            self._all.rng.random(),
            {
                "dropped": settings.drop_share,
                "repeated": settings.repeat_share,
                "reordered": settings.reorder_share,
                "closed": settings.close_share,
            },
        )
        if met == "closed":
            self._close()
            return
        if met == "reordered" and self._overtaken is not None:
            met = None  # one waits already; this one is what it waits for
        if met is not None:
            self._all.count(met)
        if met == "reordered":
            self._overtaken = message
            self._loop.call_later(LONGEST_HELD_S, self._let_go, message)
        elif met != "dropped":
            self._deliver(message)
            if met == "repeated":
                self._deliver(message)

    def _age_s(self) -> float:
        return self._loop.time() - self._since_s

    def _close(self) -> None:
        self._all.count("closed")
        self._late.clear()
        self._cut()

    def _deliver(self, message: bytes) -> None:
        self._send(message)
        if self._overtaken is not None:
            overtaken, self._overtaken = self._overtaken, None
            self._send(overtaken)

    def _let_go(self, message: bytes) -> None:
        if self._overtaken is message:
            self._overtaken = None
            self._send(message)

    def _send(self, message: bytes) -> None:
        """On its way at last: at once, or when it is due, never before one that was sent earlier."""
        delay_s = latency_s(self._all.settings.latency, self._all.rng)
        if delay_s == 0 and not self._late:
            self._push(message)
            return
        if len(self._late) >= MOST_HELD:
            self._close()
            return
        self._all.count("delayed")
        due_s = self._loop.time() + delay_s
        if self._late:
            due_s = max(due_s, self._late[-1][0])
        self._late.append((due_s, message))
        self._loop.call_at(due_s, self._push_due)

    def _push_due(self) -> None:
        now_s = self._loop.time()
        # The loop may call a timer a clock's tick early.
        while self._late and self._late[0][0] <= now_s + 0.001:
            self._push(self._late.popleft()[1])


def _kind(message: bytes) -> str:
    found = _KIND.search(message[:_HEAD_BYTES])
    return "" if found is None else found[1].decode()
