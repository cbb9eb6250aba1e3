"""Ships the journal to PostgreSQL, in order and in batches, and starts over as often as it takes.

Every insert has a natural key, so that a batch whose commit succeeded but whose answer was lost can be sent
again. How far the journal was received is written in the same transaction as the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import asyncpg
import structlog

from engine.clock import Clock
from engine.domain import OutcomeClass
from engine.errors import DatabaseUnavailable, MigrationRefused
from engine.journal import Journal, JournalUnavailable, OutboxKind, OutboxRow
from engine.journal.encoding import dump
from engine.lull import Lull
from engine.store import rows
from engine.store.opening import Schema
from engine.store.pool import OUTAGE, ROW_FAULTS, Database, Session
from engine.store.queries import sql

log = structlog.get_logger("store")

OK = "ok"
AWAY = "away"

BATCH_ROWS = 500
POLL_S = 0.25
LONGEST_WAIT_S = 0.25  # for a batch, behind what is being sent: PostgreSQL takes processor and disk from that
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0
ASK_PERIOD_S = 2.0  # with nothing to ship: whether the database answers is known soon all the same
STATISTICS_PERIOD_S = 5.0
TELL_AGAIN_NS = 60 * 10**9


class OutboxShipper:
    """One journal on its way to one database. `state` is "ok" or "away", `message` says why it is away.

    With a `schema` it sees to that before it ships anything; without one the tables are there.
    """

    def __init__(
        self, journal: Journal, database: Database, clock: Clock, schema: Schema | None = None
    ) -> None:
        self._journal = journal
        self._database = database
        self._schema = schema
        self._clock = clock
        self._owner = rows.Owner.parse(journal.identity)
        self._one_at_a_time = asyncio.Lock()
        self._is_aligned = False
        self._given_seq = journal.last_seq  # what an earlier process may have shipped, or this one
        self._ask_due_ns = 0
        self._statistics_due_ns = 0
        self.state = OK
        self.message = ""
        self._told_ns = 0
        self.missing = 0  # records that a database from long ago lacks, and that were pruned here
        self.refused = 0  # records that the schema did not take, kept in refused_records

    @property
    def backlog(self) -> int:
        """How many records the database has not received yet."""
        return self._journal.backlog()

    async def run(self, lull: Lull | None = None) -> None:
        """Ship until cancelled, whatever happens to the database; where it can, in a lull."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            if lull is not None:
                await lull.wait(LONGEST_WAIT_S)
            if await self._try():
                backoff_s = FIRST_BACKOFF_S
                if self._journal.backlog() == 0:
                    await self._clock.sleep(POLL_S)
            else:
                await self._clock.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def drain(self, deadline_s: float) -> bool:
        """Ship until nothing is left; False when the deadline or an outage came first."""
        until_ns = self._clock.monotonic_ns() + int(deadline_s * 1e9)
        while self._journal.backlog() > 0:
            if self._clock.monotonic_ns() >= until_ns:
                return False
            if not await self._try():
                await self._clock.sleep(FIRST_BACKOFF_S)
        with contextlib.suppress(*OUTAGE):  # every record is there; figures about statements can wait
            await self._flush_statistics()
        return True

    async def _try(self) -> bool:
        """One batch; False when the database or the journal could not take part."""
        try:
            async with self._one_at_a_time:
                await self._align()
                if self._journal.backlog() > 0:
                    await self._ship_batch()
                elif self._clock.monotonic_ns() >= self._ask_due_ns:
                    self._ask_due_ns = self._clock.monotonic_ns() + int(ASK_PERIOD_S * 1e9)
                    await self._received()
                if self._clock.monotonic_ns() >= self._statistics_due_ns:
                    await self._flush_statistics()
        except (*OUTAGE, JournalUnavailable, DatabaseUnavailable, MigrationRefused) as error:
            await self._note_outage(error)
            return False
        except Exception as error:
            # Tables that somebody altered answer anything: that delays history like an outage, no more.
            if self.state == OK:
                log.exception("the database makes no sense")
            what = f"its answers make no sense ({type(error).__name__}): see `liquidation-engine db status`"
            await self._note_outage(DatabaseUnavailable(what))
            return False
        if self.state == AWAY:
            log.info("the database is back", rows_to_ship=self.backlog)
        self.state, self.message = OK, ""
        return True

    async def _note_outage(self, error: Exception) -> None:
        now_ns = self._clock.monotonic_ns()
        self.message = self._database.explain(error)
        if self.state == OK or now_ns >= self._told_ns + TELL_AGAIN_NS:
            log.warning("the database is away", reason=self.message, rows_to_ship=self.backlog)
            self._told_ns = now_ns
        self.state = AWAY
        self._is_aligned = False
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            await self._database.renew()
        if isinstance(error, asyncpg.UndefinedTableError) and self._schema is not None:
            self._schema.doubt()

    async def _align(self) -> None:
        """After a start or an outage: a restored database may be behind what this journal believes."""
        if self._is_aligned:
            return
        if self._schema is not None:
            await self._schema.ensure()
        received = await self._received()
        if received < self._journal.shipped_seq:
            await self._journal.rewind(received)
        elif received > self._journal.shipped_seq:
            # Of a journal that was put back to an earlier day it has later rows of the same numbers.
            ours = max(self._journal.shipped_seq, min(received, self._given_seq))
            await self._journal.mark_shipped(ours)
        self._is_aligned = True

    async def _received(self) -> int:
        """How far the database says that it has the journal."""
        found = await self._database.fetch("read_journal_progress", self._journal.journal_id)
        received: int = found[0]["shipped_seq"] if found else 0
        return received

    async def _ship_batch(self) -> None:
        batch = await asyncio.to_thread(self._journal.outbox, BATCH_ROWS)
        if (gone := batch[0].seq - self._journal.shipped_seq - 1) > 0:
            # A database that was restored from so long ago, or is another one, lacks them for good.
            self.missing += gone
            log.error("rows that the database lacks are kept here no more", rows=gone)
        self._given_seq = max(self._given_seq, batch[-1].seq)
        try:
            await self._write(batch)
        except ROW_FAULTS:
            for each in batch:
                await self._write_or_refuse(each)
        await self._journal.mark_shipped(batch[-1].seq)

    async def _write(self, batch: Sequence[OutboxRow]) -> None:
        async with self._database.transaction() as session:
            await self._write_rows(session, batch)
            await self._write_progress(session, batch[-1].seq)

    async def _write_or_refuse(self, row: OutboxRow) -> None:
        """A row that cannot be stored goes where it can be seen, and does not hold up the others."""
        try:
            await self._write([row])
        except ROW_FAULTS as fault:
            async with self._database.transaction() as session:
                await session.execute(
                    "insert_refused_record",
                    self._journal.journal_id,
                    row.seq,
                    row.kind.value,
                    dump(row.payload).encode(),
                    rows.clean(self._database.explain(fault)),
                    rows.moment(self._clock.now_ns()),
                )
                await self._write_progress(session, row.seq)
            self.refused += 1

    async def _write_progress(self, session: Session, seq: int) -> None:
        await session.execute(
            "upsert_journal_progress",
            self._journal.journal_id,
            self._journal.identity,
            seq,
            rows.moment(self._clock.now_ns()),
        )

    async def _write_rows(self, session: Session, batch: Sequence[OutboxRow]) -> None:
        """By kind: within one the order is kept, and an outcome only needs its intent to be there first.

        What never left liquidated nothing and failed at nothing: its intent is closed, and that is all.
        """
        owner = self._owner
        by_kind = {kind: [row for row in batch if row.kind is kind] for kind in OutboxKind}
        intents = [rows.intent_row(owner, row.payload) for row in by_kind[OutboxKind.INTENT]]
        outcomes = [row.payload for row in by_kind[OutboxKind.OUTCOME]]
        failed = [rows.failed_row(owner, row.payload) for row in by_kind[OutboxKind.FAILED]]
        fund = [rows.fund_row(owner, row.payload) for row in by_kind[OutboxKind.FUND]]
        controls = [
            rows.control_row(owner, self._journal.journal_id, row.seq, row.payload)
            for row in by_kind[OutboxKind.CONTROL]
        ]
        await session.executemany("insert_intent", intents)
        await session.executemany("close_intent", [rows.closing_row(raw) for raw in outcomes])
        await session.executemany(
            "insert_liquidation",
            [
                rows.liquidation_row(owner, raw)
                for raw in outcomes
                if raw["outcome"] != OutcomeClass.NEVER_SENT
            ],
        )
        await session.executemany("upsert_failed_liquidation", failed)
        await session.executemany("insert_fund_transaction", fund)
        await session.executemany("insert_control_action", controls)

    async def _flush_statistics(self) -> None:
        self._statistics_due_ns = self._clock.monotonic_ns() + int(STATISTICS_PERIOD_S * 1e9)
        taken = self._database.statistics.take()
        try:
            async with self._database.transaction() as session:
                await session.executemany(
                    "add_statement_statistics",
                    [(name, sql(name), cost.calls, cost.total_ms) for name, cost in sorted(taken.items())],
                )
        except OUTAGE:
            self._database.statistics.put_back(taken)
            raise
