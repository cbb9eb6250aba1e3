"""What each record does inside the journal's transaction: its own row, the totals, the outbox.

Every function runs in the writer's thread on the writer's connection, within a transaction that the writer
commits; together with its outbox row a record is there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solders.signature import Signature

from engine.domain import Action, Intent, Outcome, OutcomeClass
from engine.journal import encoding, schema
from engine.journal.errors import UnknownIntent
from engine.journal.records import (
    ControlRecord,
    FailedLiquidation,
    FailedStatus,
    FundTransaction,
    FundTransactionKind,
    OutboxKind,
)

NS_PER_DAY = 86_400 * 10**9

KEEP_SHIPPED = 20_000  # outbox rows kept for a database that is restored from an older backup
KEEP_CLOSED = 10_000  # ended intents kept to look at; the database has them all
KEEP_SETTLED = 1_000
KEEP_FUND = 100_000
_PRUNE_STEP = 2_000  # rows per commit, so that no caller waits for a long deletion

AHEAD = "intents_taken_over"  # in meta: the number of the newest frame of the intent log that is in here

STRUCK_OUT = "intents_struck_out_at_ns"  # in meta, so that striking out writes something in any case

NOTE = "note:"  # before the names of notes among the keys of meta

_IS_SETTLED = frozenset({FailedStatus.DISMISSED, FailedStatus.RESOLVED})


Row = tuple[str, str, str]
"""An intent's signature, position and body."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a record changed: the newest outbox number (0: none), lifetime totals, fees of one day."""

    is_new: bool
    seq: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    fee_day: int = 0


def write_intents(connection: sqlite3.Connection, intents: Sequence[Intent]) -> tuple[Written, list[bool]]:
    """Open intents; the list says False for each whose position, or very transaction, has one already.

    A few statements for all of them: each one more is a turn in which this thread waits for the interpreter,
    which the loop needs for what the next transaction is waiting for.
    """
    return _open(
        connection,
        [
            (str(intent.signature), str(intent.position), encoding.dump(encoding.intent_object(intent)))
            for intent in intents
        ],
    )


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A frame of the intent log that is in the journal now, and how many of it had no place there."""

    written: Written
    number: int
    refused: int


def take_over(connection: sqlite3.Connection, rows: Sequence[Row], number: int) -> TakenOver:
    """Open the intents of a frame of the intent log, and note that this one is through."""
    written, opened = _open(connection, rows) if rows else (Written(False), [])
    _put_meta(connection, AHEAD, str(number))
    return TakenOver(written, number, opened.count(False))


def strike_out(
    connection: sqlite3.Connection, struck: Sequence[Outcome], number: int | None, recorded_at_ns: int
) -> Written:
    """End those of these intents that are open, and have every frame up to `number` count as taken over."""
    seq = 0
    for outcome in struck:
        with contextlib.suppress(UnknownIntent):
            seq = max(seq, write_outcome(connection, outcome, recorded_at_ns).seq)
    if number is not None:
        _put_meta(connection, AHEAD, str(number))
    # A commit that writes nothing would leave one whose sync failed before it as it is on the disk.
    _put_meta(connection, STRUCK_OUT, str(recorded_at_ns))
    return Written(True, seq)


def _open(connection: sqlite3.Connection, rows: Sequence[Row]) -> tuple[Written, list[bool]]:
    added = connection.execute(
        "INSERT OR IGNORE INTO intents (signature, position, body)"
        " SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')"
        " FROM json_each(?)",
        (json.dumps(rows),),
    ).rowcount
    if added == 0:
        return Written(False), [False] * len(rows)
    seq = connection.execute(
        "INSERT INTO outbox (kind, payload) SELECT ?, body FROM"
        " (SELECT number, body FROM intents ORDER BY number DESC LIMIT ?) ORDER BY number",
        (OutboxKind.INTENT.value, added),
    ).lastrowid
    assert seq is not None
    totals = {"intents": added}
    _add_totals(connection, totals)
    opened = [True] * len(rows) if added == len(rows) else _newest(connection, rows, added)
    return Written(True, seq, totals), opened


def _newest(connection: sqlite3.Connection, rows: Sequence[Row], count: int) -> list[bool]:
    """Which of these signatures and positions are among the intents that were added last."""
    added = set(
        connection.execute("SELECT signature, position FROM intents ORDER BY number DESC LIMIT ?", (count,))
    )
    return [row[:2] in added for row in rows]


def write_submitted(connection: sqlite3.Connection, signature: Signature, at_ns: int) -> Written:
    """Note when an intent's first bytes left; the first note stays. Raises UnknownIntent."""
    changed = connection.execute(
        "UPDATE intents SET submitted_at_ns = coalesce(submitted_at_ns, ?) WHERE signature = ?",
        (at_ns, str(signature)),
    ).rowcount
    if changed == 0:
        raise UnknownIntent(signature)
    return Written(True)


def write_outcome(connection: sqlite3.Connection, outcome: Outcome, recorded_at_ns: int) -> Written:
    """Close an intent with its outcome; a second outcome changes nothing but a missing finality time."""
    row = connection.execute(
        "SELECT body, closed, outcome, submitted_at_ns FROM intents WHERE signature = ?",
        (str(outcome.signature),),
    ).fetchone()
    if row is None:
        raise UnknownIntent(outcome.signature)
    body, closed, earlier, submitted_at_ns = row
    intent = encoding.intent_from(encoding.load(body))
    if closed == schema.CLOSED:
        return _add_finality(connection, intent, outcome, encoding.load(earlier))
    if outcome.submitted_at_ns is None:
        outcome = replace(outcome, submitted_at_ns=submitted_at_ns)
    seq = _close(connection, intent, outcome, recorded_at_ns)
    totals = _totals_of(intent, outcome)
    _add_totals(connection, totals)
    day = recorded_at_ns // NS_PER_DAY
    _add_fees(connection, day, outcome.fee_lamports)
    return Written(True, seq, totals, day)


def write_owed(connection: sqlite3.Connection, signature: Signature, finalized_at_ns: int) -> Written:
    """An open intent's transaction is final, and what it did is still to be read. Raises UnknownIntent."""
    changed = connection.execute(
        "UPDATE intents SET closed = ?, outcome = ? WHERE signature = ? AND closed = ?",
        (schema.OWED, encoding.dump({"finalized_at_ns": finalized_at_ns}), str(signature), schema.OPEN),
    ).rowcount
    if changed:
        return Written(True)
    if connection.execute("SELECT 1 FROM intents WHERE signature = ?", (str(signature),)).fetchone() is None:
        raise UnknownIntent(signature)
    return Written(False)


def write_note(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a small fact under a name, over the former one."""
    _put_meta(connection, NOTE + name, value)


def _close(connection: sqlite3.Connection, intent: Intent, outcome: Outcome, recorded_at_ns: int) -> int:
    kept = encoding.outcome_object(outcome) | {"recorded_at_ns": recorded_at_ns}
    connection.execute(
        "UPDATE intents SET closed = 1, outcome = ? WHERE signature = ?",
        (encoding.dump(kept), str(outcome.signature)),
    )
    about = {
        "position": str(intent.position),
        "owner": str(intent.owner),
        "symbol": intent.symbol,
        "action": intent.action.value,
        "attempt": intent.attempt,
        "liquidation_id": intent.liquidation_id,
        "detected_at_ns": intent.detected_at_ns,
        "created_at_ns": intent.created_at_ns,
    }
    return _post(connection, OutboxKind.OUTCOME, kept | {"intent": about})


def _add_finality(
    connection: sqlite3.Connection, intent: Intent, outcome: Outcome, earlier: encoding.Object
) -> Written:
    if earlier["finalized_at_ns"] is not None or outcome.finalized_at_ns is None:
        return Written(False)
    known = replace(encoding.outcome_from(earlier), finalized_at_ns=outcome.finalized_at_ns)
    return Written(False, _close(connection, intent, known, earlier["recorded_at_ns"]))


def write_failed(connection: sqlite3.Connection, failed: FailedLiquidation) -> Written:
    """Insert or replace a failed liquidation."""
    body = encoding.failed_object(failed)
    connection.execute(
        "INSERT OR REPLACE INTO failed (liquidation_id, settled, last_at_ns, body) VALUES (?, ?, ?, ?)",
        (failed.liquidation_id, failed.status in _IS_SETTLED, failed.last_at_ns, encoding.dump(body)),
    )
    return Written(True, _post(connection, OutboxKind.FAILED, body))


def write_control(connection: sqlite3.Connection, record: ControlRecord) -> Written:
    """Append an administrative command."""
    totals = {"control_actions": 1}
    _add_totals(connection, totals)
    return Written(True, _post(connection, OutboxKind.CONTROL, encoding.control_object(record)), totals)


def write_fund(connection: sqlite3.Connection, movement: FundTransaction) -> Written:
    """Append a movement of the insurance fund, once."""
    inserted = connection.execute(
        "INSERT OR IGNORE INTO fund_transactions (signature, kind, event_index) VALUES (?, ?, ?)",
        (str(movement.signature), movement.kind.value, movement.event_index),
    ).rowcount
    if inserted == 0:
        return Written(False)
    totals = {_FUND_TOTALS[movement.kind]: movement.amount_lamports}
    _add_totals(connection, totals)
    return Written(True, _post(connection, OutboxKind.FUND, encoding.fund_object(movement)), totals)


_FUND_TOTALS = {
    FundTransactionKind.CONTRIBUTION: "fund_contributions_lamports",
    FundTransactionKind.COVERAGE: "fund_coverage_lamports",
    FundTransactionKind.EQUITY: "fund_equity_lamports",
}


def set_shipped(connection: sqlite3.Connection, seq: int) -> int:
    """Everything up to `seq` is in the database; old rows make room. Returns `seq`."""
    connection.execute("UPDATE meta SET value = ? WHERE key = 'shipped_seq'", (str(seq),))
    # Each row of these tables had one in the outbox: before so many were shipped, none is one too many.
    if seq > KEEP_SHIPPED:
        connection.execute(
            "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE seq <= ? ORDER BY seq LIMIT ?)",
            (seq - KEEP_SHIPPED, _PRUNE_STEP),
        )
    if seq > KEEP_CLOSED:
        connection.execute(
            "DELETE FROM intents WHERE number IN (SELECT number FROM intents WHERE closed = 1"
            " AND number <= (SELECT max(number) FROM intents) - ? ORDER BY number LIMIT ?)",
            (KEEP_CLOSED, _PRUNE_STEP),
        )
    if seq > KEEP_SETTLED:
        connection.execute(
            "DELETE FROM failed WHERE settled = 1 AND last_at_ns < (SELECT last_at_ns FROM failed"
            " WHERE settled = 1 ORDER BY last_at_ns DESC LIMIT 1 OFFSET ?)",
            (KEEP_SETTLED - 1,),
        )
    if seq > KEEP_FUND:
        connection.execute(
            "DELETE FROM fund_transactions WHERE number IN (SELECT number FROM fund_transactions"
            " WHERE number <= (SELECT max(number) FROM fund_transactions) - ? ORDER BY number LIMIT ?)",
            (KEEP_FUND, _PRUNE_STEP),
        )
    return seq


def _put_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def _post(connection: sqlite3.Connection, kind: OutboxKind, payload: encoding.Object) -> int:
    cursor = connection.execute(
        "INSERT INTO outbox (kind, payload) VALUES (?, ?)", (kind.value, encoding.dump(payload))
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _totals_of(intent: Intent, outcome: Outcome) -> dict[str, int]:
    """What one outcome adds to the lifetime totals; money of a landed one only, as the chain says it.

    What never left is no attempt.
    """
    if outcome.outcome is OutcomeClass.NEVER_SENT:
        return {}
    totals = Counter({"attempts": 1, "fees_lamports": outcome.fee_lamports})
    if outcome.landed:
        totals["landed"] = 1
    if outcome.error_message is None:
        totals["full" if intent.action is Action.FULL else "partial"] = 1
        totals["rewards_lamports"] = outcome.reward_lamports
        totals["bad_debt_lamports"] = outcome.bad_debt_lamports
        totals["bad_debt_covered_lamports"] = outcome.covered_lamports
        totals["bad_debt_uncovered_lamports"] = outcome.bad_debt_lamports - outcome.covered_lamports
    elif outcome.outcome is OutcomeClass.ALREADY_LIQUIDATED:
        totals["already_liquidated"] = 1
    else:
        totals["failed_attempts"] = 1
    return dict(totals)


def _add_totals(connection: sqlite3.Connection, added: dict[str, int]) -> None:
    """Add in Python, whose integers do not overflow; SQLite's sum of u64s would."""
    for name, amount in added.items():
        row = connection.execute("SELECT value FROM totals WHERE name = ?", (name,)).fetchone()
        connection.execute(
            "INSERT OR REPLACE INTO totals (name, value) VALUES (?, ?)",
            (name, str((0 if row is None else int(row[0])) + amount)),
        )


def _add_fees(connection: sqlite3.Connection, day: int, fee_lamports: int) -> None:
    row = connection.execute("SELECT lamports FROM fees_by_day WHERE day = ?", (day,)).fetchone()
    connection.execute(
        "INSERT OR REPLACE INTO fees_by_day (day, lamports) VALUES (?, ?)",
        (day, str((0 if row is None else int(row[0])) + fee_lamports)),
    )
