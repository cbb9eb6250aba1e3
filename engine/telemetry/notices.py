"""Alerts on their way to people: put into messages that arrive, and that are few.

What starts or ends within a few seconds is one message. A channel has its own bounded queue and its own limit
of messages an hour, so that one that hangs delays no other, and a bad night fills no inbox. For that limit a
danger waits a minute at most. What ended before it was told is told as over.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from engine.clock import Clock
from engine.telemetry.alerts import URGENCY, Alert, Severity

log = structlog.get_logger("alerts")

WAITING = 200  # alerts that a channel has not been told of; of more the oldest are dropped, and that is told
TOLD_IN_ONE = 20  # alerts that one message lists
HOUR_NS = 3600 * 10**9
DANGER_GAP_NS = 60 * 10**9
LOOK_S = 1.0
DEADLINE_S = 15.0
PAUSES_S = (1.0, 4.0, 15.0, 60.0, 60.0, 60.0)  # between the attempts of one message


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. `alerts` has the last state of each alert in it, the most urgent first."""

    title: str
    text: str
    severity: Severity
    alerts: tuple[Alert, ...]


class ChannelFailure(Exception):
    """A message did not arrive. `is_final` when another attempt would end the same way."""

    def __init__(self, message: str, *, is_final: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    """One way to people. `name` may be shown: it holds nothing secret."""

    name: str

    async def deliver(self, notice: Notice) -> None:
        """Send it, and return when it arrived; raises ChannelFailure."""
        ...


@dataclass(frozen=True, slots=True)
class NoticeLimits:
    """Who is told of what, and how often."""

    least: Severity
    group_s: int
    per_hour: int


class Notices:
    """Hands what changes to every channel; never waits for one."""

    def __init__(self, source: str, channels: Sequence[Channel], limits: NoticeLimits, clock: Clock) -> None:
        self._source = source
        self._limits = limits
        self._clock = clock
        self._ways = [_Way(source, channel, limits, clock) for channel in channels]
        self._next: list[_Way] | None = None
        self._changed = asyncio.Event()

    def change(self, channels: Sequence[Channel], limits: NoticeLimits) -> None:
        """From the next moment on tell these; what a channel of the same name was not told of goes along."""
        self._limits = limits
        self._next = [_Way(self._source, channel, limits, self._clock) for channel in channels]
        self._changed.set()

    def tell(self, alert: Alert) -> None:
        """Take an alert that started or ended."""
        if URGENCY[alert.severity] <= URGENCY[self._limits.least]:
            for way in self._ways:
                way.add(alert)

    async def run(self) -> None:
        """Deliver for ever; ends only by cancellation."""
        while True:
            async with asyncio.TaskGroup() as ways:
                running = [ways.create_task(way.run()) for way in self._ways]
                await self._changed.wait()
                self._changed.clear()
                for task in running:
                    task.cancel()
            if self._next is not None:
                former = {way.name: way for way in self._ways}
                for way in self._next:
                    if way.name in former:
                        way.take_over(former[way.name])
                self._ways, self._next = self._next, None

    def counts(self) -> dict[tuple[str, str], int]:
        """Messages delivered and failed, and alerts dropped, by channel and by what became of them."""
        return {(way.name, what): count for way in self._ways for what, count in way.counts.items()}


class _Way:
    """What one channel has not been told of yet."""

    def __init__(self, source: str, channel: Channel, limits: NoticeLimits, clock: Clock) -> None:
        self.name = channel.name
        self.counts: Counter[str] = Counter(delivered=0, failed=0, dropped=0)
        self._source = source
        self._channel = channel
        self._limits = limits
        self._clock = clock
        self._waiting: deque[Alert] = deque()
        self._dropped = 0  # since the last message
        self._has_some = asyncio.Event()
        self._sent_ns: deque[int] = deque(maxlen=limits.per_hour)

    def add(self, alert: Alert) -> None:
        self._waiting.append(alert)
        while len(self._waiting) > WAITING:
            self._waiting.popleft()
            self._dropped += 1
            self.counts["dropped"] += 1
        self._has_some.set()

    def take_over(self, former: _Way) -> None:
        """Go on where another way to the same people ended."""
        self.counts.update(former.counts)
        self._dropped = former._dropped
        for alert in former._waiting:
            self.add(alert)
        self._sent_ns.extend(former._sent_ns)

    async def run(self) -> None:
        while True:
            await self._has_some.wait()
            await self._clock.sleep(self._limits.group_s)
            while not self._may_send():
                await self._clock.sleep(LOOK_S)
            notice = self._take()
            try:
                await self._send(notice)
            except asyncio.CancelledError:
                self._waiting.extendleft(reversed(notice.alerts))
                raise

    def _may_send(self) -> bool:
        """Within the limit of an hour; for a danger a minute after the last message."""
        now_ns = self._clock.monotonic_ns()
        if len(self._sent_ns) < self._limits.per_hour or now_ns - self._sent_ns[0] >= HOUR_NS:
            return True
        is_urgent = any(each.severity is Severity.DANGER and each.ended_ns is None for each in self._waiting)
        return is_urgent and now_ns - self._sent_ns[-1] >= DANGER_GAP_NS

    def _take(self) -> Notice:
        alerts, dropped = list(self._waiting), self._dropped
        self._waiting.clear()
        self._dropped = 0
        self._has_some.clear()
        return compose(self._source, alerts, dropped)

    async def _send(self, notice: Notice) -> None:
        """Try until it arrives, or until nobody would want it any more."""
        self._sent_ns.append(self._clock.monotonic_ns())
        for pause_s in (*PAUSES_S, None):
            failure = await attempt(self._channel, notice)
            if failure is None:
                self.counts["delivered"] += 1
                return
            if pause_s is None or failure.is_final:
                break
            await self._clock.sleep(max(pause_s, failure.retry_after_s))
        self.counts["failed"] += 1
        log.error("alert not delivered", channel=self.name, reason=str(failure), title=notice.title)


async def attempt(channel: Channel, notice: Notice) -> ChannelFailure | None:
    """Deliver once, within the deadline; None when it arrived. A fault of the channel is a failure."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            await channel.deliver(notice)
    except ChannelFailure as failure:
        return failure
    except TimeoutError:
        return ChannelFailure(f"no answer within {DEADLINE_S:.0f} s")
    except Exception as error:
        # A hundred protocols that strangers wrote stand behind a channel; its text may hold the URL.
        return ChannelFailure(f"broke ({type(error).__name__})")
    return None


def compose(source: str, changes: Sequence[Alert], dropped: int = 0) -> Notice:
    """One message of what changed; of an alert that changed twice only its last state counts.

    `source` says which engine speaks. `dropped` changes are not among these any more.
    """
    last = {alert.number: alert for alert in changes}
    alerts = sorted(last.values(), key=lambda each: (each.ended_ns is not None, URGENCY[each.severity]))
    on = [alert for alert in alerts if alert.ended_ns is None]
    over = len(alerts) - len(on)
    lines = [_line(alert) for alert in alerts[:TOLD_IN_ONE]]
    if len(alerts) > TOLD_IN_ONE:
        lines.append(f"and {len(alerts) - TOLD_IN_ONE} more: see `liquidation-engine alert list`")
    if dropped:
        lines.append(f"{dropped} earlier changes are not told: there were too many")
    counted = ([f"{len(on)} on"] if on else []) + ([f"{over} over"] if over else [])
    return Notice(
        title=f"{source}: {on[0].rule + ', ' if on else ''}alerts {', '.join(counted)}",
        text="\n".join(lines),
        severity=on[0].severity if on else Severity.INFO,
        alerts=tuple(alerts[:TOLD_IN_ONE]),
    )


def _line(alert: Alert) -> str:
    since = datetime.fromtimestamp(alert.since_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if alert.ended_ns is None:
        return f"{alert.severity.value.upper()} {alert.rule}: {alert.text} (since {since})"
    lasted_s = max(0, alert.ended_ns - alert.since_ns) // 10**9
    return f"OVER after {lasted_s} s, {alert.rule}: {alert.text} (since {since})"
