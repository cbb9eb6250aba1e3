"""The insurance fund by the record alone: the sums of the operational guide's utilization query."""

from __future__ import annotations

from dataclasses import dataclass

from engine.protocol.margin import utilization_bps
from engine.store.pool import COMMAND_TIMEOUT_S, OUTAGE, single_connection, unavailable
from engine.store.queries import sql


@dataclass(frozen=True, slots=True)
class FundRecord:
    """Lamports that were contributed, by anybody, and lamports that the fund paid for our liquidations."""

    contributions_lamports: int
    covered_lamports: int

    @property
    def utilization_bps(self) -> int:
        """Covered over contributed, rounded as the chain's figure is."""
        return utilization_bps(self.covered_lamports, self.contributions_lamports)


async def read_fund_record(dsn: str, wallet: str) -> FundRecord:
    """The sums over the whole record of the cluster and program on which this wallet works.

    Where a database holds one cluster's record only, these are the sums of the guide's query as it stands.
    Raises DatabaseUnavailable.
    """
    async with single_connection(dsn, COMMAND_TIMEOUT_S) as connection:
        try:
            row = await connection.fetchrow(sql("fund_record"), wallet)
        except OUTAGE as error:
            raise unavailable(error, dsn) from None
    return FundRecord(int(row["contributions"]), int(row["covered"]))
