"""Reads the outcome of an intent out of what the chain says of its transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

from solders.pubkey import Pubkey

from engine.chain.port import LandedTransaction
from engine.domain import Intent, Outcome, OutcomeClass
from engine.liquidation.classify import classify_fault
from engine.protocol.events import LiquidationEvent, read_events


@dataclass(frozen=True, slots=True)
class Stamps:
    """When an intent's stages were seen, in nanoseconds of the Unix clock."""

    submitted_at_ns: int | None
    confirmed_at_ns: int | None
    finalized_at_ns: int | None


@dataclass(frozen=True, slots=True)
class FundEffect:
    """How a liquidation changed the insurance fund: one of the two is zero."""

    covered_lamports: int
    equity_lamports: int


_WOULD_HAVE = {
    True: "would have liquidated, nothing was sent",
    False: "would have been sent; not rehearsed, since the chain is not where the one before it led",
}


def event_of(intent: Intent, landed: LandedTransaction) -> LiquidationEvent | None:
    """The liquidation event of this intent's position in a landed transaction's logs."""
    for event in read_events(landed.logs):
        if isinstance(event, LiquidationEvent) and event.position == intent.position:
            return event
    return None


def fund_effect(landed: LandedTransaction, fund: Pubkey) -> FundEffect:
    """What the fund's lamports did: bad debt that it covered leaves it, left-over equity enters it."""
    change = landed.lamports_change.get(fund, 0)
    return FundEffect(covered_lamports=max(0, -change), equity_lamports=max(0, change))


def landed_outcome(intent: Intent, landed: LandedTransaction, fund: Pubkey, stamps: Stamps) -> Outcome:
    """The outcome of a transaction that landed, with the chain's amounts."""
    outcome, message = OutcomeClass.CONFIRMED, None
    if landed.fault is not None:
        outcome, message = classify_fault(landed.fault, landed.logs)
    event = event_of(intent, landed) if landed.fault is None else None
    if landed.is_rehearsal:
        # It did not happen, however well it would have gone: nothing may ever count it as a success.
        outcome = OutcomeClass.DRY_RUN if message is None else outcome
        message = f"dry run: {message or _WOULD_HAVE[event is not None]}"
    return Outcome(
        signature=intent.signature,
        outcome=outcome,
        landed=not landed.is_rehearsal,
        error_message=message,
        slot=landed.slot,
        fee_lamports=landed.fee_lamports,
        liquidated_size_e6=event.liquidated_size_e6 if event else 0,
        liquidation_price_e6=event.liquidation_price_e6 if event else 0,
        reward_lamports=event.liquidator_reward_lamports if event else 0,
        bad_debt_lamports=event.bad_debt_lamports if event else 0,
        covered_lamports=fund_effect(landed, fund).covered_lamports if event else 0,
        compute_units=landed.compute_units,
        submitted_at_ns=stamps.submitted_at_ns,
        confirmed_at_ns=stamps.confirmed_at_ns,
        finalized_at_ns=stamps.finalized_at_ns,
    )


def expired_outcome(intent: Intent, stamps: Stamps) -> Outcome:
    """The outcome of a transaction that can land no more: proven by height, unknown to the history."""
    ended = Outcome.not_landed(
        intent.signature,
        OutcomeClass.BLOCKHASH_EXPIRED,
        f"blockhash expired: not landed by block height {intent.last_valid_block_height}",
    )
    return replace(ended, submitted_at_ns=stamps.submitted_at_ns, finalized_at_ns=stamps.finalized_at_ns)


def never_sent_outcome(intent: Intent, why: str) -> Outcome:
    """The outcome of a transaction that was signed and whose bytes never left, and never will."""
    return Outcome.not_landed(intent.signature, OutcomeClass.NEVER_SENT, f"never sent: {why}")
