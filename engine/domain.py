"""The domain's words: frozen values that pass between the steps of the engine.

Units are in the names: `_e6` is a fixed-point number scaled by 1e6 (quote amounts are then micro-USD),
`_e12` by 1e12, `_bps` basis points, `_lamports` 1e-9 SOL, `_s` and `_ns` seconds and nanoseconds of the
Unix clock, `_slot` and `_height` counts of Solana slots and blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from solders.pubkey import Pubkey
from solders.signature import Signature


class Side(StrEnum):
    """Which way a position profits."""

    LONG = "long"
    SHORT = "short"


class Generation(StrEnum):
    """Which of the program's two account layouts a position has."""

    DEPLOYED = "deployed"
    DOCUMENTED = "documented"


class Verdict(StrEnum):
    """What the oracle step says of a price; only OK may lead to a liquidation."""

    OK = "ok"
    STALE = "stale"
    WIDE = "wide confidence"
    JUMP = "jump awaiting confirmation"
    DIVERGED = "sources diverged"
    INVALID = "invalid account"
    MISSING = "missing"


class Band(StrEnum):
    """Where a position stands. UNKNOWN is never treated as healthy, and never submitted."""

    HEALTHY = "healthy"
    AT_RISK = "at risk"
    LIQUIDATABLE = "liquidatable"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What the decide step wants done with a position."""

    FULL = "full"
    PARTIAL = "partial"
    HOLD = "hold"


class OutcomeClass(StrEnum):
    """How one attempt ended; the values are the phrases that operators search for."""

    CONFIRMED = "confirmed"
    ALREADY_LIQUIDATED = "already liquidated"
    EXCEEDED_CUS = "exceeded CUs"
    INSUFFICIENT_FUNDS = "insufficient funds"
    BLOCKHASH_EXPIRED = "blockhash expired"
    HEALTHY_AGAIN = "healthy again"
    STALE_PRICE = "stale price"
    TIMEOUT = "timeout"
    NODE_ERROR = "node error"
    PROGRAM_ERROR = "program error"
    NEVER_SENT = "never sent"  # signed, and withdrawn or struck out before the first byte left
    DRY_RUN = "dry run"  # it would have liquidated; nothing was sent


NO_FAILURE: Final = (
    OutcomeClass.ALREADY_LIQUIDATED,
    OutcomeClass.HEALTHY_AGAIN,
    OutcomeClass.DRY_RUN,
    OutcomeClass.NEVER_SENT,
)
"""Ends of attempts that liquidated nobody and are nobody's fault: no success rate counts them."""


@dataclass(frozen=True, slots=True)
class Position:
    """A position as its account says, at the slot in which it was read."""

    address: Pubkey
    owner: Pubkey
    symbol: str
    side: Side
    size_e6: int
    collateral_e6: int
    entry_price_e6: int
    leverage: int
    maintenance_margin_e6: int
    is_liquidated: bool
    created_at_s: int
    generation: Generation
    slot: int


@dataclass(frozen=True, slots=True)
class Price:
    """A mark price of one symbol with the oracle step's verdict on it.

    `raw_price` and `exponent` are Pyth's own; `price_e6` is raw_price * 10^(exponent + 6), truncated.
    """

    symbol: str
    price_e6: int
    conf_e6: int
    raw_price: int
    exponent: int
    publish_time_s: int
    slot: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Health:
    """The exact figures of a position at a mark price; ratios are kept as products, never divided.

    margin ratio = equity / value, health factor = margin ratio / maintenance ratio.
    """

    equity_e12: int
    value_e12: int
    maintenance_bps: int

    @property
    def factor(self) -> float:
        """The health factor for display and ordering only; a decision compares products instead."""
        if self.value_e12 == 0:
            return float("inf")
        return (10_000 * self.equity_e12) / (self.maintenance_bps * self.value_e12)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one position, why, and every input that led there."""

    position: Position
    price: Price
    health: Health
    action: Action
    amount_e6: int  # size units to close: the whole size for FULL, 0 for HOLD
    reason: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A signed transaction that is durable before its bytes leave (design rule 1).

    `decision_json` holds the inputs of the decision, so that anyone can recompute it later.
    """

    signature: Signature
    position: Pubkey
    owner: Pubkey
    symbol: str
    action: Action
    amount_e6: int
    attempt: int
    liquidation_id: str  # one liquidation of one position; its retries share it
    raw_transaction: bytes
    blockhash: str
    last_valid_block_height: int
    compute_unit_limit: int
    priority_fee_microlamports: int
    detected_at_ns: int
    created_at_ns: int
    decision_json: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an intent ended. Amounts are the chain's (transaction meta and event), never our estimate."""

    signature: Signature
    outcome: OutcomeClass
    landed: bool
    error_message: str | None  # None exactly when the liquidation succeeded
    slot: int | None
    fee_lamports: int
    liquidated_size_e6: int
    liquidation_price_e6: int
    reward_lamports: int
    bad_debt_lamports: int
    covered_lamports: int
    compute_units: int
    submitted_at_ns: int | None
    confirmed_at_ns: int | None
    finalized_at_ns: int | None
    liquidated_by: Pubkey | None = None  # who was first, if the chain says; never this wallet

    @classmethod
    def not_landed(cls, signature: Signature, outcome: OutcomeClass, error_message: str) -> Outcome:
        """The end of one that is in no block and never will be: no slot, no amounts, and no times so far."""
        return cls(
            signature=signature,
            outcome=outcome,
            landed=False,
            error_message=error_message,
            slot=None,
            fee_lamports=0,
            liquidated_size_e6=0,
            liquidation_price_e6=0,
            reward_lamports=0,
            bad_debt_lamports=0,
            covered_lamports=0,
            compute_units=0,
            submitted_at_ns=None,
            confirmed_at_ns=None,
            finalized_at_ns=None,
        )


@dataclass(frozen=True, slots=True)
class FundState:
    """The insurance fund's account, in lamports; utilization is covered / contributions in basis points."""

    authority: Pubkey
    balance_lamports: int
    total_contributions_lamports: int
    total_bad_debt_covered_lamports: int
    utilization_ratio_bps: int
    slot: int
