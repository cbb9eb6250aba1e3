"""Records to JSON objects and back: JSON has integers of any size, so every u64 stays exact."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.domain import Action, Intent, Outcome, OutcomeClass
from engine.journal.records import (
    ControlRecord,
    FailedAttempt,
    FailedLiquidation,
    FailedStatus,
    FundTransaction,
    FundTransactionKind,
)

Object = dict[str, Any]


def dump(value: Object | list[Object]) -> str:
    """Compact JSON, in ASCII where text from outside holds what UTF-8 cannot (a lone surrogate)."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def load(text: str) -> Object:
    """The object that `dump` wrote."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("a journal body is not a JSON object")
    return value


def intent_object(intent: Intent) -> Object:
    """An intent as JSON; the raw transaction in base64."""
    return {
        "signature": str(intent.signature),
        "position": str(intent.position),
        "owner": str(intent.owner),
        "symbol": intent.symbol,
        "action": intent.action.value,
        "amount_e6": intent.amount_e6,
        "attempt": intent.attempt,
        "liquidation_id": intent.liquidation_id,
        "raw_transaction": base64.b64encode(intent.raw_transaction).decode(),
        "blockhash": intent.blockhash,
        "last_valid_block_height": intent.last_valid_block_height,
        "compute_unit_limit": intent.compute_unit_limit,
        "priority_fee_microlamports": intent.priority_fee_microlamports,
        "detected_at_ns": intent.detected_at_ns,
        "created_at_ns": intent.created_at_ns,
        "decision_json": intent.decision_json,
    }


def intent_from(raw: Object) -> Intent:
    """The intent of `intent_object`; other keys are passed over."""
    return Intent(
        signature=Signature.from_string(raw["signature"]),
        position=Pubkey.from_string(raw["position"]),
        owner=Pubkey.from_string(raw["owner"]),
        symbol=raw["symbol"],
        action=Action(raw["action"]),
        amount_e6=raw["amount_e6"],
        attempt=raw["attempt"],
        liquidation_id=raw["liquidation_id"],
        raw_transaction=base64.b64decode(raw["raw_transaction"]),
        blockhash=raw["blockhash"],
        last_valid_block_height=raw["last_valid_block_height"],
        compute_unit_limit=raw["compute_unit_limit"],
        priority_fee_microlamports=raw["priority_fee_microlamports"],
        detected_at_ns=raw["detected_at_ns"],
        created_at_ns=raw["created_at_ns"],
        decision_json=raw["decision_json"],
    )


def outcome_object(outcome: Outcome) -> Object:
    """An outcome as JSON."""
    return {
        "signature": str(outcome.signature),
        "outcome": outcome.outcome.value,
        "landed": outcome.landed,
        "error_message": outcome.error_message,
        "slot": outcome.slot,
        "fee_lamports": outcome.fee_lamports,
        "liquidated_size_e6": outcome.liquidated_size_e6,
        "liquidation_price_e6": outcome.liquidation_price_e6,
        "reward_lamports": outcome.reward_lamports,
        "bad_debt_lamports": outcome.bad_debt_lamports,
        "covered_lamports": outcome.covered_lamports,
        "compute_units": outcome.compute_units,
        "submitted_at_ns": outcome.submitted_at_ns,
        "confirmed_at_ns": outcome.confirmed_at_ns,
        "finalized_at_ns": outcome.finalized_at_ns,
        "liquidated_by": None if outcome.liquidated_by is None else str(outcome.liquidated_by),
    }


def outcome_from(raw: Object) -> Outcome:
    """The outcome of `outcome_object`; other keys are passed over."""
    liquidated_by = raw.get("liquidated_by")  # not in records of an older engine
    return Outcome(
        signature=Signature.from_string(raw["signature"]),
        outcome=OutcomeClass(raw["outcome"]),
        landed=raw["landed"],
        error_message=raw["error_message"],
        slot=raw["slot"],
        fee_lamports=raw["fee_lamports"],
        liquidated_size_e6=raw["liquidated_size_e6"],
        liquidation_price_e6=raw["liquidation_price_e6"],
        reward_lamports=raw["reward_lamports"],
        bad_debt_lamports=raw["bad_debt_lamports"],
        covered_lamports=raw["covered_lamports"],
        compute_units=raw["compute_units"],
        submitted_at_ns=raw["submitted_at_ns"],
        confirmed_at_ns=raw["confirmed_at_ns"],
        finalized_at_ns=raw["finalized_at_ns"],
        liquidated_by=None if liquidated_by is None else Pubkey.from_string(liquidated_by),
    )


def failed_object(failed: FailedLiquidation) -> Object:
    """A failed liquidation as JSON."""
    return {
        "liquidation_id": failed.liquidation_id,
        "position": str(failed.position),
        "owner": str(failed.owner),
        "symbol": failed.symbol,
        "outcome": failed.outcome.value,
        "error_message": failed.error_message,
        "attempts": failed.attempts,
        "first_at_ns": failed.first_at_ns,
        "last_at_ns": failed.last_at_ns,
        "status": failed.status.value,
        "history": [
            {
                "attempt": each.attempt,
                "at_ns": each.at_ns,
                "outcome": each.outcome.value,
                "message": each.message,
                "signature": None if each.signature is None else str(each.signature),
            }
            for each in failed.history
        ],
    }


def failed_from(raw: Object) -> FailedLiquidation:
    """The failed liquidation of `failed_object`."""
    return FailedLiquidation(
        liquidation_id=raw["liquidation_id"],
        position=Pubkey.from_string(raw["position"]),
        owner=Pubkey.from_string(raw["owner"]),
        symbol=raw["symbol"],
        outcome=OutcomeClass(raw["outcome"]),
        error_message=raw["error_message"],
        attempts=raw["attempts"],
        first_at_ns=raw["first_at_ns"],
        last_at_ns=raw["last_at_ns"],
        status=FailedStatus(raw["status"]),
        history=tuple(map(_failed_attempt_from, raw.get("history", ()))),
    )


def _failed_attempt_from(raw: Object) -> FailedAttempt:
    signature = raw["signature"]
    return FailedAttempt(
        attempt=raw["attempt"],
        at_ns=raw["at_ns"],
        outcome=OutcomeClass(raw["outcome"]),
        message=raw["message"],
        signature=None if signature is None else Signature.from_string(signature),
    )


def control_object(record: ControlRecord) -> Object:
    """A control record as JSON."""
    return {
        "at_ns": record.at_ns,
        "actor": record.actor,
        "command": record.command,
        "detail": record.detail,
        "accepted": record.accepted,
        "uid": record.uid,
        "terminal": record.terminal,
    }


def fund_object(movement: FundTransaction) -> Object:
    """A fund transaction as JSON."""
    return {
        "signature": str(movement.signature),
        "kind": movement.kind.value,
        "event_index": movement.event_index,
        "amount_lamports": movement.amount_lamports,
        "account": str(movement.account),
        "slot": movement.slot,
        "at_ns": movement.at_ns,
    }


def fund_from(raw: Object) -> FundTransaction:
    """The fund transaction of `fund_object`."""
    return FundTransaction(
        signature=Signature.from_string(raw["signature"]),
        kind=FundTransactionKind(raw["kind"]),
        amount_lamports=raw["amount_lamports"],
        account=Pubkey.from_string(raw["account"]),
        slot=raw["slot"],
        at_ns=raw["at_ns"],
        event_index=raw["event_index"],
    )
