"""A database as the engine's shipper sees it: named statements with their keys, transactions, and outages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from engine.store.statistics import StatementStatistics
from sim.loop import sleep
from sim.swarm import Plan
from sim.timeline import Timeline

Row = Sequence[Any]

# What each table is keyed by, as positions among a statement's parameters.
_KEYS = {
    "insert_intent": (0,),
    "insert_liquidation": (0,),
    "upsert_failed_liquidation": (0,),
    "insert_fund_transaction": (0, 1, 2),
    "insert_control_action": (0, 1, 2),
    "upsert_journal_progress": (0,),
    "insert_refused_record": (0, 1),
    "upsert_position": (0,),
}
_REPLACES = frozenset({"upsert_failed_liquidation", "upsert_journal_progress", "upsert_position"})
_FINALIZED_AT = 24  # of insert_liquidation
_QUIET = frozenset({"upsert_position", "delete_position", "add_statement_statistics"})


class Tables:
    """What is durable: rows by table and key. It outlives every process."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in _KEYS}
        self.closed: dict[str, Row] = {}  # by signature, what close_intent said last

    def apply(self, name: str, row: Row) -> None:
        """One statement of a transaction that is committed."""
        if name == "close_intent":
            if (row[0],) in self.rows["insert_intent"]:
                self.closed[row[0]] = row
            return
        if name == "delete_position":
            self.rows["upsert_position"].pop((row[0],), None)
            return
        if name not in _KEYS:
            return
        table = self.rows[name]
        key = tuple(row[index] for index in _KEYS[name])
        known = table.get(key)
        if known is None or name in _REPLACES:
            table[key] = row
        elif name == "insert_liquidation" and known[_FINALIZED_AT] is None:
            table[key] = (*known[:_FINALIZED_AT], row[_FINALIZED_AT])


class Session:
    """One transaction: nothing counts before its end."""

    def __init__(self, database: ModelDatabase) -> None:
        self._database = database
        self.waiting: list[tuple[str, Row]] = []

    async def execute(self, name: str, *arguments: object) -> None:
        """Run a named statement."""
        await self.executemany(name, [arguments])

    async def executemany(self, name: str, rows: Sequence[Row]) -> None:
        """Run a named statement once per row."""
        if rows:
            await self._database.answer(name)
            self.waiting += [(name, tuple(row)) for row in rows]

    async def fetch(self, name: str, *arguments: object) -> list[dict[str, Any]]:
        """The rows of a named statement."""
        await self._database.answer(name)
        assert name == "read_journal_progress", name
        found = self._database.tables.rows["upsert_journal_progress"].get((arguments[0],))
        return [] if found is None else [{"shipped_seq": found[2]}]


class ModelDatabase:
    """One process's pool of connections to the tables; `reach` is called before and after a commit."""

    def __init__(
        self,
        tables: Tables,
        plan: Plan,
        random: Random,
        timeline: Timeline,
        is_calm: Callable[[], bool],
        reach: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self.tables = tables
        self.statistics = StatementStatistics()
        self._plan = plan
        self._random = random
        self._timeline = timeline
        self._is_calm = is_calm
        self._reach = reach
        self._count = count
        self._down_until_s = 0.0

    async def answer(self, name: str) -> None:
        """The time that a statement takes, and what may happen to it."""
        random, plan = self._random, self._plan
        if self._timeline.now_s < self._down_until_s:
            await sleep(0.001)
            raise ConnectionRefusedError("connection refused")
        slow_s = 0.0
        if not self._is_calm():
            if plan.intensity("database is down") and random.random() < 0.05 * plan.intensity(
                "database is down"
            ):
                self._count("database is down")
                self._down_until_s = self._timeline.now_s + random.uniform(0.2, 8.0)
                raise ConnectionResetError("terminated")
            if random.random() < 0.2 * plan.intensity("database is slow"):
                self._count("database is slow")
                slow_s = random.uniform(0.1, 6.0)
        if slow_s > 5.0:
            await sleep(5.0)
            raise TimeoutError
        await sleep(0.001 + slow_s)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A transaction: committed at the end, rolled back by an exception."""
        session = Session(self)
        yield session
        if not session.waiting:
            return
        await self.answer("commit")
        is_quiet = all(name in _QUIET for name, _ in session.waiting)
        if not is_quiet:
            self._reach("database before commit")
        for name, row in session.waiting:
            self.tables.apply(name, row)
        if is_quiet:
            return
        self._timeline.note(f"database has {[(name, str(row[0])) for name, row in session.waiting]}")
        self._reach("database after commit")
        intensity = self._plan.intensity("database loses the reply")
        if not self._is_calm() and self._random.random() < 0.6 * intensity:
            self._count("database loses the reply")
            raise ConnectionResetError("the reply was lost")

    async def fetch(self, name: str, *arguments: object) -> list[dict[str, Any]]:
        """The rows of a named statement, in a transaction of its own."""
        async with self.transaction() as session:
            return await session.fetch(name, *arguments)

    async def renew(self) -> None:
        """There are no connections to drop."""

    def explain(self, error: BaseException) -> str:
        """A failure in a few words."""
        return str(error)
