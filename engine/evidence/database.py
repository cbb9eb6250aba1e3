"""What the database says of one wallet on one program of one cluster: its intents and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
from solders.pubkey import Pubkey
from solders.signature import Signature

from engine.errors import DatabaseUnavailable
from engine.liquidation.decision_record import DecisionRecordInvalid, decode
from engine.store.pool import OUTAGE, Database, unavailable
from engine.store.rows import Owner

PAGE = 2_000


@dataclass(frozen=True, slots=True)
class RecordedIntent:
    """A signed transaction; `complaint` says why its own inputs do not justify it, None when they do.

    `seen_slot` is the newest slot that its decision knew of: it was signed then, or later. The times are of
    the engine's clock, which a machine may set wrong, and right again.
    """

    signature: Signature
    position: Pubkey
    landed: bool
    last_valid_block_height: int
    created_at: datetime
    submitted_at: datetime | None
    finalized_at: datetime | None
    ended_at: datetime | None
    seen_slot: int
    complaint: str | None


@dataclass(frozen=True, slots=True)
class RecordedLiquidation:
    """How one attempt ended, as the table `liquidations` has it."""

    signature: Signature
    succeeded: bool
    landed: bool
    slot: int | None
    liquidated_size_e6: int
    liquidation_price_e6: int
    reward_lamports: int
    fee_lamports: int
    covered_lamports: int
    uncovered_lamports: int


class DatabaseEvidence:
    """Reads of one database; every call may raise DatabaseUnavailable. Without tables it has no rows."""

    def __init__(self, database: Database, dsn: str, owner: Owner) -> None:
        self._database = database
        self._dsn = dsn
        self._filter = (owner.cluster, owner.liquidator, owner.program_id)

    async def intents(self) -> list[RecordedIntent]:
        """Every intent, oldest first: by the age of their blockhashes, and only then by the clock."""
        rows = await self._pages("evidence_intents")
        return sorted(
            (_intent(row) for row in rows),
            key=lambda intent: (intent.last_valid_block_height, intent.created_at),
        )

    async def liquidations(self) -> dict[Signature, RecordedLiquidation]:
        """Every attempt whose end is recorded."""
        found = [_liquidation(row) for row in await self._pages("evidence_liquidations")]
        return {each.signature: each for each in found}

    async def pruned_to_slot(self) -> int:
        """What landed up to this slot may have been pruned from the record since; -1 when nothing was."""
        rows = await self._fetch("evidence_pruned", self._filter[0])
        return -1 if not rows or rows[0]["last_slot"] is None else int(rows[0]["last_slot"])

    async def counts(self) -> dict[str, int]:
        """failed_liquidations (all, and those still open), fund_transactions, refused_records."""
        rows = await self._fetch("evidence_counts", *self._filter)
        if not rows:
            return {}
        return {name: int(value) for name, value in rows[0].items()}

    async def _pages(self, name: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while True:
            after = found[-1]["signature"] if found else ""
            page = await self._fetch(name, *self._filter, after, PAGE)
            found += page
            if len(page) < PAGE:
                return found

    async def _fetch(self, name: str, *arguments: object) -> list[Mapping[str, Any]]:
        try:
            return list(await self._database.fetch(name, *arguments))
        except asyncpg.UndefinedTableError:
            return []
        except OUTAGE as error:
            raise unavailable(error, self._dsn) from None


def _intent(row: Mapping[str, Any]) -> RecordedIntent:
    seen_slot, complaint = _decision(row)
    try:
        return RecordedIntent(
            signature=Signature.from_string(row["signature"]),
            position=Pubkey.from_string(row["position_pubkey"]),
            landed=bool(row["landed"]),
            last_valid_block_height=int(row["last_valid_block_height"]),
            created_at=row["created_at"],
            submitted_at=row["submitted_at"],
            finalized_at=row["finalized_at"],
            ended_at=row["ended_at"],
            seen_slot=seen_slot,
            complaint=complaint,
        )
    except ValueError:
        raise _unreadable("intents", row) from None


def _decision(row: Mapping[str, Any]) -> tuple[int, str | None]:
    """The newest slot that the recorded decision knew of, and what is wrong with it."""
    try:
        inputs = decode(row["decision"])
    except DecisionRecordInvalid as invalid:
        return 0, str(invalid)
    if str(inputs.position) != row["position_pubkey"]:
        return 0, "the recorded decision is about another position"
    return max(inputs.account_slot, inputs.price_slot), inputs.complaint()


def _liquidation(row: Mapping[str, Any]) -> RecordedLiquidation:
    slot: Decimal | None = row["slot"]
    try:
        return RecordedLiquidation(
            signature=Signature.from_string(row["signature"]),
            succeeded=row["error_message"] is None,
            landed=row["landed"],
            slot=None if slot is None else int(slot),
            liquidated_size_e6=int(row["liquidated_size"]),
            liquidation_price_e6=int(row["liquidation_price"]),
            reward_lamports=int(row["reward"]),
            fee_lamports=int(row["fee"]),
            covered_lamports=int(row["bad_debt"]),
            uncovered_lamports=int(row["uncovered_bad_debt"]),
        )
    except ValueError:
        raise _unreadable("liquidations", row) from None


def _unreadable(table: str, row: Mapping[str, Any]) -> DatabaseUnavailable:
    shown = ascii(str(row["signature"])[:100])
    return DatabaseUnavailable(
        f"The table {table} holds a row that no engine wrote (signature {shown}): "
        "remove it, or use another database"
    )
