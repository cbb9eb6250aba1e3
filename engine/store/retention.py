"""Keeps the history in days: makes the partitions that are needed next, and ends those that are old enough.

What the fund paid is never pruned: rows with bad debt stay, and so do contributions, coverage and the audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import structlog

from engine.clock import Clock
from engine.errors import DatabaseUnavailable
from engine.store.pool import OUTAGE, Database, open_pool, unavailable
from engine.store.rows import moment

log = structlog.get_logger("store")

PERIOD_S = 3_600.0
AGAIN_S = 60.0  # after an outage
BATCH_ROWS = 2_000
LONGEST_ROUND = 1_000  # batches or days; what is left comes with the next round
_BY_ROWS = {"late rows": "prune_rest", "intents": "prune_intents", "failed liquidations": "prune_failed"}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one round took away: whole days of attempts, and rows by their kind."""

    days: list[date]
    rows: dict[str, int]

    @property
    def is_nothing(self) -> bool:
        """Whether everything was young enough."""
        return not self.days and not any(self.rows.values())

    def told(self) -> str:
        """In words."""
        span = f" ({self.days[0]} to {self.days[-1]})" if self.days else ""
        rows = "".join(f", {count} {kind}" for kind, count in self.rows.items())
        return f"{len(self.days)} days of attempts{span}{rows}"


async def make_days(database: Database, now_ns: int, keep_days: int) -> int:
    """Make the partitions of the next days, and of days that have rows and none. Raises one of OUTAGE."""
    today = moment(now_ns).date()
    (row,) = await database.fetch("make_days", today, first_kept(now_ns, keep_days))
    return int(row["made"])


async def prune(database: Database, now_ns: int, keep_days: int) -> Pruned:
    """End what is older than `keep_days` whole days (UTC); each day and each batch is its own transaction.

    Raises one of OUTAGE; what was done until then stays done.
    """
    oldest = first_kept(now_ns, keep_days)
    days: list[date] = []
    while len(days) < LONGEST_ROUND:
        (row,) = await database.fetch("prune_day", oldest)
        if row["day"] is None:
            break
        days.append(row["day"])
    before = datetime.combine(oldest, time(), UTC)
    rows = {kind: await _delete(database, name, before) for kind, name in _BY_ROWS.items()}
    return Pruned(days, rows)


async def prune_now(dsn: str, now_ns: int, keep_days: int) -> Pruned:
    """The same for whoever has no pool, as an operator. Raises DatabaseUnavailable."""
    database = await open_pool(dsn, max_connections=1)
    try:
        return await prune(database, now_ns, keep_days)
    except (asyncpg.UndefinedFunctionError, asyncpg.UndefinedTableError):
        raise DatabaseUnavailable(
            "The database has no record of this program's schema: run `liquidation-engine db migrate` first"
        ) from None
    except OUTAGE as error:
        raise unavailable(error, dsn) from None
    finally:
        await database.close()


async def _delete(database: Database, name: str, before: datetime) -> int:
    gone = 0
    for _ in range(LONGEST_ROUND):
        (row,) = await database.fetch(name, before, BATCH_ROWS)
        gone += int(row["gone"])
        if row["gone"] < BATCH_ROWS:
            break
    return gone


def first_kept(now_ns: int, keep_days: int) -> date:
    """The oldest day (UTC) that stays: today and `keep_days` whole days before it do."""
    return moment(now_ns).date() - timedelta(days=keep_days)


class Retention:
    """Looks after one database for as long as its engine runs."""

    def __init__(self, database: Database, clock: Clock, keep_days: int) -> None:
        self._database = database
        self._clock = clock
        self._keep_days = keep_days

    async def run(self) -> None:
        """Once now and then every hour, whatever happens to the database; ends only by cancellation."""
        while True:
            try:
                await self.tend()
            except OUTAGE as error:
                log.warning("history not tended", reason=self._database.explain(error))
                await self._clock.sleep(AGAIN_S)
            else:
                await self._clock.sleep(PERIOD_S)

    async def tend(self) -> None:
        """One round. Raises one of OUTAGE."""
        now_ns = self._clock.now_ns()
        await make_days(self._database, now_ns, self._keep_days)
        pruned = await prune(self._database, now_ns, self._keep_days)
        if not pruned.is_nothing:
            log.info("history pruned", what=pruned.told(), keep_days=self._keep_days)
