"""Nine mistakes that liquidators make, each as a change to one place of the engine for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from sim import observer

from engine import runtime
from engine.chain.pool import RpcPool
from engine.chain.port import Level
from engine.control import Gate
from engine.domain import OutcomeClass
from engine.journal.journal import Journal
from engine.liquidation.aftermath import Aftermath
from engine.liquidation.outcomes import expired_outcome
from engine.liquidation.queue import LiquidationQueue
from engine.liquidation.tracker import Tracker
from engine.stopping.emergency import EmergencyStop

IMPATIENT_NS = 3 * 10**9

Change = tuple[object, str, Any]


def record_after_send() -> list[Change]:
    """The journal is told of an intent when its bytes are out already."""
    record = Journal.record_intent
    late: set[asyncio.Task[None]] = set()

    async def record_late(journal: Journal, intent: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.02)
            await record(journal, intent)

        task = asyncio.create_task(later())
        late.add(task)
        task.add_done_callback(late.discard)

    return [(Journal, "record_intent", record_late)]


def sign_again_on_timeout() -> list[Change]:
    """What is not confirmed after three seconds is given up and signed anew."""
    settle = Tracker._settle_unknown

    async def settle_impatiently(tracker: Tracker, unknown: Any, follower: Any) -> None:
        patient = []
        for flight in unknown:
            if tracker._clock.monotonic_ns() - flight.followed_ns > IMPATIENT_NS:
                stamps = flight.stamps(tracker._clock.now_ns())
                await tracker._finish(flight, expired_outcome(flight.intent, stamps), follower)
            else:
                patient.append(flight)
        await settle(tracker, patient, follower)

    return [(Tracker, "_settle_unknown", settle_impatiently)]


def stop_checked_once() -> list[Change]:
    """Only whoever takes work from the queue looks whether sending is stopped."""
    return [(Gate, "check", lambda gate: None)]


def no_reconciliation() -> list[Change]:
    """A start does not look at what the last process had out."""

    async def reconcile_nothing(parts: Any) -> None:
        return None

    return [(runtime, "reconcile", reconcile_nothing)]


def database_error_as_failure() -> list[Change]:
    """A liquidation whose end the journal could not take is taken for failed, and tried again."""
    record = Aftermath.on_final

    async def record_or_fail(aftermath: Aftermath, flight: Any, outcome: Any) -> bool:
        if not await record(aftermath, flight, outcome):
            await aftermath._retries.again(flight.entry, OutcomeClass.NODE_ERROR, "database error")
        return True

    return [(Aftermath, "on_final", record_or_fail)]


def intent_abandoned_on_stop() -> list[Change]:
    """A stop forgets what is in flight."""
    shut = EmergencyStop._shut

    def shut_and_forget(stop: EmergencyStop, by: str, reason: str) -> Any:
        found = shut(stop, by, reason)
        stop._tracker._flights.clear()
        return found

    return [(EmergencyStop, "_shut", shut_and_forget)]


def optimistic_expiry() -> list[Change]:
    """Expired is what the node that is asked does not know at the newest block height."""
    height, statuses = RpcPool.block_height, RpcPool.statuses

    async def newest_height(pool: RpcPool, level: Level) -> int:
        return await height(pool, Level.PROCESSED)

    async def recent_statuses(pool: RpcPool, signatures: Any, **_: Any) -> Any:
        return await statuses(pool, signatures, search_history=False)

    return [(RpcPool, "block_height", newest_height), (RpcPool, "statuses", recent_statuses)]


def dedup_never_cleared() -> list[Change]:
    """A position that was liquidated once is taken for being liquidated for ever."""
    return [(LiquidationQueue, "finish", lambda queue, entry: None)]


def decided_before_the_disk() -> list[Change]:
    """What was decided leaves, however long the disk took and whatever was heard meanwhile."""
    return [(Aftermath, "still_wanted", lambda aftermath, flight: True)]


BUGS: dict[str, tuple[Callable[[], list[Change]], str]] = {
    "record after send": (record_after_send, observer.INTENT_FIRST),
    "re-sign on timeout": (sign_again_on_timeout, observer.ONCE),
    "stop checked once": (stop_checked_once, observer.SILENCE),
    "no reconciliation": (no_reconciliation, observer.RECORDED),
    "database error taken as failure": (database_error_as_failure, observer.RECORDED),
    "intent abandoned on stop": (intent_abandoned_on_stop, observer.RECOVERS),
    "optimistic expiry": (optimistic_expiry, observer.ONCE),
    "dedup never cleared": (dedup_never_cleared, observer.RECOVERS),
    "decided before the disk": (decided_before_the_disk, observer.JUSTIFIED),
}
"""Each bug, and the promise that it breaks."""


@contextmanager
def plant(name: str) -> Iterator[None]:
    """Plant a bug by its name."""
    changes, _ = BUGS[name]
    with ExitStack() as stack:
        for place, attribute, changed in changes():
            stack.enter_context(patch.object(place, attribute, changed))
        yield
