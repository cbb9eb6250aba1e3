"""Journal records to database rows: exact numbers, exact times, text that PostgreSQL accepts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.journal.encoding import dump

Payload = dict[str, Any]
Row = tuple[object, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TEXT = 2_000


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose journal it is: every row carries these, so that several can share a database."""

    cluster: str
    liquidator: str
    program_id: str

    @classmethod
    def parse(cls, identity: str) -> Owner:
        """From a journal's identity, "genesis hash/wallet/program id"."""
        cluster, liquidator, program_id = identity.split("/")
        return cls(cluster, liquidator, program_id)


def moment(at_ns: int) -> datetime:
    """A time in nanoseconds to the microsecond that PostgreSQL keeps, by integers: a float would be off."""
    return _EPOCH + timedelta(microseconds=at_ns // 1000)


def _moment_or_none(at_ns: int | None) -> datetime | None:
    return None if at_ns is None else moment(at_ns)


def clean(text: str) -> str:
    """Text that PostgreSQL can store: no NUL, no lone surrogate, of bounded length."""
    return text.replace("\0", "�").encode(errors="replace").decode()[:_MAX_TEXT]


def intent_row(owner: Owner, raw: Payload) -> Row:
    """The parameters of insert_intent."""
    return (
        raw["signature"],
        raw["liquidation_id"],
        raw["position"],
        raw["owner"],
        owner.liquidator,
        owner.cluster,
        owner.program_id,
        clean(raw["symbol"]),
        raw["action"],
        raw["amount_e6"],
        raw["attempt"],
        base64.b64decode(raw["raw_transaction"]),
        raw["blockhash"],
        raw["last_valid_block_height"],
        raw["compute_unit_limit"],
        raw["priority_fee_microlamports"],
        raw["decision_json"],
        moment(raw["detected_at_ns"]),
        moment(raw["created_at_ns"]),
    )


def closing_row(raw: Payload) -> Row:
    """The parameters of close_intent."""
    return (
        raw["signature"],
        raw["outcome"],
        raw["landed"],
        _moment_or_none(raw["submitted_at_ns"]),
        _moment_or_none(raw["confirmed_at_ns"]),
        _moment_or_none(raw["finalized_at_ns"]),
        moment(raw["recorded_at_ns"]),
    )


def liquidation_row(owner: Owner, raw: Payload) -> Row:
    """The parameters of insert_liquidation: how one attempt ended."""
    intent = raw["intent"]
    error = raw["error_message"]
    known_at_ns = raw["confirmed_at_ns"] or raw["recorded_at_ns"]
    return (
        raw["signature"],
        intent["liquidation_id"],
        intent["position"],
        intent["owner"],
        owner.liquidator,
        owner.cluster,
        owner.program_id,
        clean(intent["symbol"]),
        intent["action"],
        intent["attempt"],
        raw["liquidated_size_e6"],
        raw["liquidation_price_e6"],
        raw["reward_lamports"],
        raw["fee_lamports"],
        raw["covered_lamports"],
        raw["bad_debt_lamports"] - raw["covered_lamports"],
        None if error is None else clean(error),
        raw["outcome"],
        raw["landed"],
        raw["slot"],
        raw["compute_units"],
        moment(intent["detected_at_ns"]),
        _moment_or_none(raw["submitted_at_ns"]),
        moment(known_at_ns),
        _moment_or_none(raw["finalized_at_ns"]),
        raw.get("liquidated_by"),
    )


def failed_row(owner: Owner, raw: Payload) -> Row:
    """The parameters of upsert_failed_liquidation."""
    return (
        raw["liquidation_id"],
        raw["position"],
        raw["owner"],
        owner.liquidator,
        owner.cluster,
        owner.program_id,
        clean(raw["symbol"]),
        raw["outcome"],
        clean(raw["error_message"]),
        max(0, raw["attempts"] - 1),
        raw["status"],
        moment(raw["first_at_ns"]),
        moment(raw["last_at_ns"]),
        dump([each | {"message": clean(each["message"])} for each in raw.get("history", ())]),
    )


def fund_row(owner: Owner, raw: Payload) -> Row:
    """The parameters of insert_fund_transaction."""
    return (
        raw["signature"],
        raw["kind"],
        raw["event_index"],
        raw["amount_lamports"],
        raw["account"],
        owner.cluster,
        owner.program_id,
        raw["slot"],
        moment(raw["at_ns"]),
    )


def control_row(owner: Owner, journal_id: str, seq: int, raw: Payload) -> Row:
    """The parameters of insert_control_action."""
    return (
        journal_id,
        seq,
        moment(raw["at_ns"]),
        clean(raw["actor"]),
        clean(raw["command"]),
        clean(raw["detail"]),
        raw["accepted"],
        owner.liquidator,
        owner.cluster,
        raw.get("uid"),
        clean(raw.get("terminal", "")),
    )
