"""The local journal: what was signed, sent and seen, durable before anything else happens.

It is one SQLite file beside the engine, and also the outbox from which PostgreSQL is fed.
"""

from engine.journal.errors import IntentAlreadyOpen, JournalForeign, JournalUnavailable, UnknownIntent
from engine.journal.journal import Journal
from engine.journal.records import (
    ControlRecord,
    FailedAttempt,
    FailedLiquidation,
    FailedStatus,
    FundTransaction,
    FundTransactionKind,
    OutboxKind,
    OutboxRow,
)

__all__ = [
    "ControlRecord",
    "FailedAttempt",
    "FailedLiquidation",
    "FailedStatus",
    "FundTransaction",
    "FundTransactionKind",
    "IntentAlreadyOpen",
    "Journal",
    "JournalForeign",
    "JournalUnavailable",
    "OutboxKind",
    "OutboxRow",
    "UnknownIntent",
]
