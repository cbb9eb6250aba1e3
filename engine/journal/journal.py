"""The journal as the engine uses it: records that are durable when they return, and reads that do not wait.

What the engine asks at every step (open intents, failed liquidations, totals, backlog) is kept in memory
and follows each commit; the rest is read through a second connection that no write can hold up.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.domain import Intent, Outcome
from engine.errors import JournalCorrupt
from engine.journal import encoding, guard, intent_log, schema, work
from engine.journal.errors import JournalUnavailable
from engine.journal.intake import REMEMBERED, Intake
from engine.journal.intent_log import IntentLog
from engine.journal.prompt_writer import PromptWriter
from engine.journal.records import (
    ControlRecord,
    FailedLiquidation,
    FailedStatus,
    FundTransaction,
    OutboxKind,
    OutboxRow,
)
from engine.journal.room import DiskRoom, KeptFile
from engine.journal.strike_out import StrikeOut
from engine.journal.writer import Writer

MakeAhead = Callable[[IntentLog], PromptWriter]

WRITE_DEADLINE_S = 10.0
MAX_BACKLOG = 1_000_000  # outbox rows; above it no new intent is taken, so that the disk does not fill

_TOTALS = (
    "intents",
    "attempts",
    "landed",
    "full",
    "partial",
    "failed_attempts",
    "already_liquidated",
    "control_actions",
    "fees_lamports",
    "rewards_lamports",
    "bad_debt_lamports",
    "bad_debt_covered_lamports",
    "bad_debt_uncovered_lamports",
    "fund_contributions_lamports",
    "fund_coverage_lamports",
    "fund_equity_lamports",
)


class Journal:
    """One journal of one wallet on one program of one cluster. Methods belong to the event loop's thread.

    Every `record_…` returns after the record and its outbox row are on disk, together. Each raises
    JournalUnavailable when the disk refuses or does not answer in 10 s; the journal itself goes on.
    """

    def __init__(
        self,
        path: Path,
        identity: str,
        now_ns: Callable[[], int],
        make_writer: Callable[[Path, float], Writer] = Writer,
        make_ahead: MakeAhead | None = None,
    ) -> None:
        self.path = path
        self.identity = identity
        self._now_ns = now_ns
        self._room = DiskRoom(path.parent)
        self._file = KeptFile(path)
        self._damage: str | None = None
        self.found_ahead = 0  # intents that a former process had in the log only
        self._log_path = path.with_name(path.name + intent_log.SUFFIX)
        self._reader = schema.connect_reader(path)
        self._outbox_reader = schema.connect_reader(path)
        try:
            taken = self._take_over()
            ended = self._load()
            ahead = (
                None if make_ahead is None else make_ahead(IntentLog(self._log_path, self.journal_id, taken))
            )
            self._writer = make_writer(path, WRITE_DEADLINE_S)
        except BaseException:
            self._close_readers()
            raise
        self._strike_out = StrikeOut(self._writer, now_ns, self._note_struck)
        self._intake = Intake(
            self._writer,
            ahead,
            WRITE_DEADLINE_S,
            self._strike_out,
            why_closed=self.why_closed,
            is_open=self._open_at.__contains__,
            on_open=self._note_open,
            on_written=self._follow,
            ended=ended,
        )

    @classmethod
    def open(
        cls,
        path: Path,
        identity: str,
        now_ns: Callable[[], int] = time.time_ns,
        make_writer: Callable[[Path, float], Writer] = Writer,
        make_ahead: MakeAhead | None = None,
    ) -> Journal:
        """Open or create the journal of `identity`, which is "genesis hash/wallet/program id".

        `now_ns` stamps when an outcome became known. With `make_ahead` intents go into a log ahead of the
        journal; one that was left is taken over in any case. Raises JournalCorrupt (the file is kept as
        *.corrupt-N, and every later open refuses until the operator removes the marker), JournalForeign
        when the file is of another identity, JournalUnavailable when the disk refuses.
        """
        try:
            guard.admit(path, identity)
            return cls(path, identity, now_ns, make_writer, make_ahead)
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error) and guard.is_damage(error):
                raise JournalCorrupt(guard.refuse(path, str(error))) from None
            raise JournalUnavailable(
                f"The journal {path} cannot be opened ({error}): see to the disk and the file's permissions"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            # SQLite's check does not look into the bodies; one that cannot be read is damage all the same.
            raise JournalCorrupt(guard.refuse(path, f"{type(error).__name__}: {error}")) from None

    def _take_over(self) -> int:
        """Bring in what a former process had durable in the log only; the number of its newest frame."""
        meta = dict(self._reader.execute("SELECT key, value FROM meta").fetchall())
        taken = int(meta.get(work.AHEAD, 0))
        left = intent_log.left_behind(self._log_path, meta["journal_id"], taken)
        if not left:
            return taken
        with contextlib.closing(schema.connect(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for taken, intents in left:
                rows = [(raw["signature"], raw["position"], encoding.dump(raw)) for raw in intents]
                work.take_over(connection, rows, taken)
                self.found_ahead += len(rows)
            connection.execute("COMMIT")
        return taken

    def _load(self) -> list[Signature]:
        """What is kept in memory; returns the signatures of the newest intents, oldest first."""
        read = self._reader.execute
        meta = dict(read("SELECT key, value FROM meta").fetchall())
        self.journal_id: str = meta["journal_id"]
        self._shipped_seq = int(meta["shipped_seq"])
        self._notes = {
            key.removeprefix(work.NOTE): value for key, value in meta.items() if key.startswith(work.NOTE)
        }
        newest = read("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        self._last_seq: int = 0 if newest is None else newest[0]
        self._open: dict[Signature, Intent] = {}
        self._open_at: dict[Pubkey, Signature] = {}
        self._submitted: dict[Signature, int] = {}
        for body, submitted_at_ns in read(
            "SELECT body, submitted_at_ns FROM intents WHERE closed = 0 ORDER BY number"
        ):
            intent = encoding.intent_from(encoding.load(body))
            self._note_open(intent)
            if submitted_at_ns is not None:
                self._submitted[intent.signature] = submitted_at_ns
        self._owed: dict[Signature, tuple[Intent, int]] = {}
        for body, owed in read(
            "SELECT body, outcome FROM intents WHERE closed = ? ORDER BY number", (schema.OWED,)
        ):
            intent = encoding.intent_from(encoding.load(body))
            self._owed[intent.signature] = intent, encoding.load(owed)["finalized_at_ns"]
        self._failed: dict[str, FailedLiquidation] = {}
        for (body,) in read("SELECT body FROM failed WHERE settled = 0 ORDER BY last_at_ns"):
            failed = encoding.failed_from(encoding.load(body))
            self._failed[failed.liquidation_id] = failed
        self._totals = dict.fromkeys(_TOTALS, 0)
        self._totals |= {name: int(value) for name, value in read("SELECT name, value FROM totals")}
        self._fees_by_day = {
            day: int(lamports)
            for day, lamports in read("SELECT day, lamports FROM fees_by_day ORDER BY day DESC LIMIT 2")
        }
        newest_first = read("SELECT signature FROM intents ORDER BY number DESC LIMIT ?", (REMEMBERED,))
        return [Signature.from_string(text) for (text,) in newest_first][::-1]

    def _note_open(self, intent: Intent) -> None:
        self._open[intent.signature] = intent
        self._open_at[intent.position] = intent.signature

    def _note_ended(self, signature: Signature) -> Intent | None:
        intent = self._open.pop(signature, None)
        if intent is not None and self._open_at.get(intent.position) == signature:
            del self._open_at[intent.position]
        return intent

    def _note_struck(self, struck: Sequence[Outcome], written: work.Written) -> None:
        for outcome in struck:
            self._note_ended(outcome.signature)
        self._follow(written)

    def record_intent(self, intent: Intent) -> asyncio.Future[None]:
        """Open an intent. Only after this is done may its bytes leave. Those of one turn become one record.

        Raises IntentAlreadyOpen when the position has an open one, or this very transaction was open before;
        JournalUnavailable as well while `why_closed` says why no new ones are taken.
        """
        return self._intake.take(intent)

    def why_closed(self) -> str:
        """Why no new intent is taken, empty while one would be.

        Too much waits, the file was taken away, or the disk is nearly full: what is left of it is for the
        ends of what is in flight. Or it has refused an intent, and not taken yet that this one is none.
        """
        if self.backlog() >= MAX_BACKLOG:
            return f"The journal is full, {self.backlog()} records wait: bring the database back"
        return self._strike_out.why_pending() or self._file.why_lost() or self._room.why_short()

    async def record_submitted(self, signature: Signature, at_ns: int) -> None:
        """Note when the first bytes of an intent left; later notes change nothing. Raises UnknownIntent."""

        def noted(_: work.Written) -> None:
            if signature in self._open:
                self._submitted.setdefault(signature, at_ns)

        await self._writer.run(partial(work.write_submitted, signature=signature, at_ns=at_ns), noted)

    async def record_outcome(self, outcome: Outcome) -> bool:
        """Close an intent; True when this was the first outcome, so that it is counted exactly once.

        A repeated outcome changes nothing, except that it adds the finality time if that was missing. The
        time of `record_submitted` is used when the outcome has none. Raises UnknownIntent.
        """

        def closed(written: work.Written) -> None:
            self._note_ended(outcome.signature)
            self._owed.pop(outcome.signature, None)
            self._submitted.pop(outcome.signature, None)
            if written.is_new:
                day_total = self._fees_by_day.get(written.fee_day, 0) + outcome.fee_lamports
                self._fees_by_day[written.fee_day] = day_total
            self._follow(written)

        recorded_at_ns = self._now_ns()
        written = await self._writer.run(
            partial(work.write_outcome, outcome=outcome, recorded_at_ns=recorded_at_ns), closed
        )
        return written.is_new

    async def record_owed(self, signature: Signature, finalized_at_ns: int) -> None:
        """An open intent's transaction is finalized, but no node shows it: its outcome is still owed.

        The position is free for another intent from now on. Changes nothing once the outcome is known.
        Raises UnknownIntent.
        """

        def owed(written: work.Written) -> None:
            intent = self._note_ended(signature)
            if written.is_new and intent is not None:
                self._owed[signature] = intent, finalized_at_ns

        await self._writer.run(
            partial(work.write_owed, signature=signature, finalized_at_ns=finalized_at_ns), owed
        )

    async def record_failed(self, failed: FailedLiquidation) -> None:
        """Insert or replace a liquidation that was given up, by its liquidation_id."""

        def kept(written: work.Written) -> None:
            if failed.status in (FailedStatus.DISMISSED, FailedStatus.RESOLVED):
                self._failed.pop(failed.liquidation_id, None)
            else:
                self._failed[failed.liquidation_id] = failed
            self._follow(written)

        await self._writer.run(partial(work.write_failed, failed=failed), kept)

    async def note(self, name: str, value: str) -> None:
        """Keep a small fact under a name across restarts, over the former one."""

        def noted(_: None) -> None:
            self._notes[name] = value

        await self._writer.run(partial(work.write_note, name=name, value=value), noted)

    def noted(self, name: str) -> str | None:
        """What was kept under a name, None when nothing was."""
        return self._notes.get(name)

    async def record_control(self, record: ControlRecord) -> None:
        """Append an administrative command to the audit."""
        await self._writer.run(partial(work.write_control, record=record), self._follow)

    async def record_fund_transaction(self, movement: FundTransaction) -> bool:
        """Append a movement of the insurance fund; False when it was known already."""
        written = await self._writer.run(partial(work.write_fund, movement=movement), self._follow)
        return written.is_new

    def _follow(self, written: work.Written) -> None:
        self._last_seq = max(self._last_seq, written.seq)
        for name, amount in written.totals.items():
            self._totals[name] += amount

    def open_intents(self) -> list[Intent]:
        """Every intent whose end is not known, oldest first."""
        return list(self._open.values())

    def owed(self) -> list[tuple[Intent, int]]:
        """Intents that are final and whose outcome is owed, with the time at which they were seen final."""
        return list(self._owed.values())

    def knows(self, signature: Signature) -> bool:
        """Whether an intent of this signature is kept here: open, or among the last 10,000 ended ones."""
        if signature in self._open or signature in self._owed:
            return True
        found = self._look("SELECT 1 FROM intents WHERE signature = ?", (str(signature),))
        return bool(found)

    @property
    def damage(self) -> str | None:
        """What SQLite said when the file made no sense any more, None while it does."""
        return self._damage or self._writer.damage or self._intake.damage

    def submitted_at_ns(self, signature: Signature) -> int | None:
        """When the first bytes of an open intent left, None when they did not or the intent is not open."""
        return self._submitted.get(signature)

    def attempts_of(self, position: Pubkey, limit: int) -> list[tuple[Intent, Outcome | None]]:
        """The last `limit` intents of a position, newest first, with their outcomes."""
        rows = self._look(
            "SELECT body, CASE closed WHEN 1 THEN outcome END FROM intents WHERE position = ?"
            " ORDER BY number DESC LIMIT ?",
            (str(position), limit),
        )
        return [
            (
                encoding.intent_from(encoding.load(body)),
                None if outcome is None else encoding.outcome_from(encoding.load(outcome)),
            )
            for body, outcome in rows
        ]

    def _look(self, query: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            if guard.is_damage(error):
                self._damage = str(error)
            raise JournalUnavailable(f"The journal cannot be read ({error}): see to the disk") from None

    def failed(self) -> list[FailedLiquidation]:
        """The given-up liquidations that still concern the operator (open, retrying), oldest first.

        Dismissed and resolved ones are in the database.
        """
        return list(self._failed.values())

    def totals(self) -> dict[str, int]:
        """Lifetime counts and sums, every name always present.

        intents, attempts (ended), landed (with or without error), full and partial (succeeded),
        failed_attempts, already_liquidated, control_actions; fees, rewards, bad debt (whole, covered,
        uncovered) and the fund's contributions, coverage and equity in lamports.
        """
        return dict(self._totals)

    def fees_of_day(self, at_ns: int) -> int:
        """Lamports of fees in outcomes recorded on the UTC day of `at_ns`: today or yesterday."""
        return self._fees_by_day.get(at_ns // work.NS_PER_DAY, 0)

    def backlog(self) -> int:
        """How many records the database has not received yet."""
        return self._last_seq - self._shipped_seq

    @property
    def is_idle(self) -> bool:
        """Whether everything that was handed over to be written is answered."""
        return self._writer.is_idle and self._intake.is_idle

    @property
    def last_seq(self) -> int:
        """The number of the newest outbox row, 0 when there never was one."""
        return self._last_seq

    @property
    def shipped_seq(self) -> int:
        """Everything up to this outbox number was shipped."""
        return self._shipped_seq

    def outbox(self, limit: int) -> list[OutboxRow]:
        """The oldest `limit` rows that were not shipped. May be called in another thread."""
        try:
            rows = self._outbox_reader.execute(
                "SELECT seq, kind, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._shipped_seq, limit),
            ).fetchall()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"The journal cannot be read ({error}): see to the disk") from None
        return [OutboxRow(seq, OutboxKind(kind), encoding.load(payload)) for seq, kind, payload in rows]

    async def mark_shipped(self, seq: int) -> None:
        """Everything up to `seq` is durable in the database. Old rows are pruned on the way."""
        await self._ship_up_to(min(seq, self._last_seq))

    async def rewind(self, seq: int) -> None:
        """Ship again what came after `seq`: the database was restored from a backup that ends there.

        Rows that were pruned meanwhile cannot come back; the last 20,000 are always kept.
        """
        await self._ship_up_to(max(0, min(seq, self._shipped_seq)))

    async def _ship_up_to(self, seq: int) -> None:
        def shipped(reached: int) -> None:
            self._shipped_seq = reached

        await self._writer.run(partial(work.set_shipped, seq=seq), shipped)

    async def close(self) -> None:
        """Finish what waits and close the file."""
        await self._writer.close()
        await self._intake.close()
        self._close_readers()

    def _close_readers(self) -> None:
        self._reader.close()
        self._outbox_reader.close()
