"""What the journal keeps beside intents and outcomes: frozen values with their units in the names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.domain import OutcomeClass


class FailedStatus(StrEnum):
    """Where a liquidation that was given up stands."""

    OPEN = "open"
    RETRYING = "retrying"
    DISMISSED = "dismissed"  # by an operator
    RESOLVED = "resolved"  # by the chain: liquidated after all, or healthy again


MAX_HISTORY = 20


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """How one attempt of a liquidation ended; `signature` is None when nothing was signed."""

    attempt: int
    at_ns: int
    outcome: OutcomeClass
    message: str
    signature: Signature | None


@dataclass(frozen=True, slots=True)
class FailedLiquidation:
    """A liquidation whose attempts are used up. The natural key is `liquidation_id`.

    `history` has its last 20 attempts, oldest first.
    """

    liquidation_id: str
    position: Pubkey
    owner: Pubkey
    symbol: str
    outcome: OutcomeClass  # of the last attempt
    error_message: str
    attempts: int
    first_at_ns: int
    last_at_ns: int
    status: FailedStatus = FailedStatus.OPEN
    history: tuple[FailedAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """One administrative command, accepted or refused, by whom.

    `uid` is the caller's by the kernel's word, None when it did not come over the unix socket; `terminal` is
    what the caller says that it sits at.
    """

    at_ns: int
    actor: str
    command: str
    detail: str
    accepted: bool
    uid: int | None = None
    terminal: str = ""


class FundTransactionKind(StrEnum):
    """How lamports came to the insurance fund or left it."""

    CONTRIBUTION = "contribution"
    COVERAGE = "coverage"  # bad debt that the fund paid
    EQUITY = "equity"  # what a full liquidation left over


@dataclass(frozen=True, slots=True)
class FundTransaction:
    """One movement of the insurance fund. The natural key is signature, kind and event_index.

    `account` is the contributor, or the liquidated position. `event_index` tells apart several movements of
    one kind within one transaction, in the order of its events.
    """

    signature: Signature
    kind: FundTransactionKind
    amount_lamports: int
    account: Pubkey
    slot: int
    at_ns: int
    event_index: int = 0


class OutboxKind(StrEnum):
    """What an outbox row carries."""

    INTENT = "intent"
    OUTCOME = "outcome"
    FAILED = "failed"
    CONTROL = "control"
    FUND = "fund"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One record on its way to PostgreSQL; `seq` never repeats within a journal."""

    seq: int
    kind: OutboxKind
    payload: dict[str, Any]
