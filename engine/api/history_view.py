"""The record as viewers see it: pages out of the database, or of what the journal still has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from engine.api import wire
from engine.api.clean import clean
from engine.api.position_view import SYMBOL_LIMIT, TEXT_LIMIT
from engine.commands import CommandError
from engine.errors import DatabaseUnavailable
from engine.journal.ended import Ended, newest_ended
from engine.store.pool import OUTAGE
from engine.store.record_reader import LiquidationFilter, Page, RecordReader

READ_DEADLINE_S = 4.0
LOOKED_AT_IN_JOURNAL = 1_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class DatabaseAway(CommandError):
    """The record cannot be read now."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "database_away", f"The database cannot be read: {reason}: try again when it is back", 503
        )


class HistoryViews:
    """Pages of the record. Each raises DatabaseAway, except where the journal can stand in."""

    def __init__(self, reader: RecordReader, journal: Path) -> None:
        self._reader = reader
        self._journal = journal

    async def liquidations(self, wanted: LiquidationFilter, limit: int, offset: int) -> wire.LiquidationPage:
        """Attempts that ended; from the journal while the database is away."""
        try:
            rows, total = await self._read(self._reader.liquidations(wanted, limit, offset))
        except DatabaseAway as away:
            return await self._from_journal(wanted, limit, offset, str(away))
        return wire.LiquidationPage(
            rows=[_liquidation(row) for row in rows], total=total, limit=limit, offset=offset
        )

    async def fund_movements(self, limit: int, offset: int) -> wire.FundHistoryPage:
        """Movements of the insurance fund."""
        rows, total = await self._read(self._reader.fund_movements(limit, offset))
        return wire.FundHistoryPage(
            rows=[
                wire.FundMovementRow(
                    signature=row["signature"],
                    kind=row["transaction_type"],
                    amount_lamports=int(row["amount"]),
                    account=row["account"],
                    slot=int(row["slot"]),
                    at_ns=_ns(row["timestamp"]),
                )
                for row in rows
            ],
            total=total,
            limit=limit,
            offset=offset,
        )

    async def commands(self, limit: int, offset: int) -> wire.AuditPage:
        """The audit of administrative commands."""
        rows, total = await self._read(self._reader.commands(limit, offset))
        return wire.AuditPage(
            rows=[
                wire.AuditRow(
                    at_ns=_ns(row["at"]),
                    actor=clean(row["actor"], TEXT_LIMIT),
                    command=clean(row["command"], TEXT_LIMIT),
                    detail=clean(row["detail"], TEXT_LIMIT),
                    accepted=row["accepted"],
                    uid=row["uid"],
                    terminal=clean(row["terminal"], TEXT_LIMIT),
                )
                for row in rows
            ],
            total=total,
            limit=limit,
            offset=offset,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._reader.close()

    async def _read(self, page: Any) -> Page:
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                found: Page = await page
        except (*OUTAGE, DatabaseUnavailable) as error:
            raise DatabaseAway(clean(self._reader.explain(error), TEXT_LIMIT)) from None
        return found

    async def _from_journal(
        self, wanted: LiquidationFilter, limit: int, offset: int, why: str
    ) -> wire.LiquidationPage:
        ended = await asyncio.to_thread(newest_ended, self._journal, LOOKED_AT_IN_JOURNAL)
        rows = [row for each in ended if _matches(wanted)(row := _of_journal(each))]
        return wire.LiquidationPage(
            rows=rows[offset : offset + limit],
            total=len(rows),
            limit=limit,
            offset=offset,
            source="journal",
            note=why,
        )


def _liquidation(row: Any) -> wire.LiquidationRow:
    return wire.LiquidationRow(
        signature=row["signature"],
        liquidation_id=row["liquidation_id"],
        address=row["position_pubkey"],
        owner=row["owner"],
        symbol=clean(row["symbol"], SYMBOL_LIMIT),
        action=row["action"],
        attempt=row["attempt"],
        outcome=row["outcome"],
        error_message=_or_none(lambda text: clean(text, TEXT_LIMIT), row["error_message"]),
        landed=row["landed"],
        slot=_or_none(int, row["slot"]),
        liquidated_size_e6=int(row["liquidated_size"]),
        liquidation_price_e6=int(row["liquidation_price"]),
        reward_lamports=int(row["reward"]),
        fee_lamports=int(row["fee"]),
        bad_debt_covered_lamports=int(row["bad_debt"]),
        bad_debt_uncovered_lamports=int(row["uncovered_bad_debt"]),
        compute_units=int(row["compute_units"]),
        created_at_ns=_ns(row["created_at"]),
        submitted_at_ns=_or_none(_ns, row["submitted_at"]),
        at_ns=_ns(row["timestamp"]),
        finalized_at_ns=_or_none(_ns, row["finalized_at"]),
        liquidated_by=row["liquidated_by"],
    )


def _of_journal(ended: Ended) -> wire.LiquidationRow:
    intent, outcome, recorded_at_ns = ended
    return wire.LiquidationRow(
        signature=str(intent.signature),
        liquidation_id=intent.liquidation_id,
        address=str(intent.position),
        owner=str(intent.owner),
        symbol=clean(intent.symbol, SYMBOL_LIMIT),
        action=intent.action.value,
        attempt=intent.attempt,
        outcome=outcome.outcome.value,
        error_message=_or_none(lambda text: clean(text, TEXT_LIMIT), outcome.error_message),
        landed=outcome.landed,
        slot=outcome.slot,
        liquidated_size_e6=outcome.liquidated_size_e6,
        liquidation_price_e6=outcome.liquidation_price_e6,
        reward_lamports=outcome.reward_lamports,
        fee_lamports=outcome.fee_lamports,
        bad_debt_covered_lamports=outcome.covered_lamports,
        bad_debt_uncovered_lamports=outcome.bad_debt_lamports - outcome.covered_lamports,
        compute_units=outcome.compute_units,
        created_at_ns=intent.detected_at_ns,
        submitted_at_ns=outcome.submitted_at_ns,
        at_ns=outcome.confirmed_at_ns or recorded_at_ns,
        finalized_at_ns=outcome.finalized_at_ns,
        liquidated_by=_or_none(str, outcome.liquidated_by),
    )


def _matches(wanted: LiquidationFilter) -> Callable[[wire.LiquidationRow], bool]:
    """The filter of the database's statement, for rows that come from elsewhere."""

    def matches(row: wire.LiquidationRow) -> bool:
        searched = (row.address, row.owner, row.signature)
        return (
            wanted.symbol in (None, row.symbol)
            and wanted.outcome in (None, row.outcome)
            and wanted.position in (None, row.address)
            and (wanted.search is None or any(text.startswith(wanted.search) for text in searched))
            and (wanted.from_ns is None or row.at_ns >= wanted.from_ns)
            and (wanted.to_ns is None or row.at_ns < wanted.to_ns)
        )

    return matches


def _or_none(convert: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else convert(value)


def _ns(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000
