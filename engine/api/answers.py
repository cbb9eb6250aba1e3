"""What machines get that ask by the operational guide; a console has its own picture in `engine.api.wire`."""

from __future__ import annotations

from engine.api.message import Message


class Health(Message, frozen=True):
    """The process lives; whether it can work is another question."""

    status: str


class FundBalance(Message, frozen=True):
    """The insurance fund by the names of the operational guide: lamports, a ratio, and Unix seconds."""

    balance: int
    balance_formatted: str
    utilization_ratio: float
    total_contributions: int
    total_bad_debt_covered: int
    last_updated: int
