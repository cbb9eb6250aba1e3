"""Pages of what is kept: liquidations, the fund's movements, the audit, the settings.

Texts are cleaned like those of `engine.api.wire`, which names these types too. Times are nanoseconds of the
Unix clock.
"""

from __future__ import annotations

from engine.api.message import Message


class LiquidationRow(Message, frozen=True):
    """One attempt whose end is known, with what the chain says; `error_message` is null when it liquidated.

    `created_at_ns` is when the position was detected, `at_ns` when the attempt was confirmed, or else when
    its end became known.
    """

    signature: str
    liquidation_id: str
    address: str
    owner: str
    symbol: str
    action: str  # full or partial
    attempt: int
    outcome: str
    error_message: str | None
    landed: bool
    slot: int | None
    liquidated_size_e6: int
    liquidation_price_e6: int
    reward_lamports: int
    fee_lamports: int
    bad_debt_covered_lamports: int
    bad_debt_uncovered_lamports: int
    compute_units: int
    created_at_ns: int
    submitted_at_ns: int | None
    at_ns: int
    finalized_at_ns: int | None
    liquidated_by: str | None = None  # who was first, if the chain says so


class LiquidationPage(Message, frozen=True):
    """Attempts, newest first. `total` counts all that match, up to 100,000.

    `source` is the database; or the journal, which has the last 10,000 attempts, while the database is away:
    `note` says why then, and only the newest thousand are looked at.
    """

    rows: list[LiquidationRow]
    total: int
    limit: int
    offset: int
    source: str = "database"
    note: str = ""


class FundMovementRow(Message, frozen=True):
    """One movement of the insurance fund: contribution and equity come in, coverage pays bad debt.

    `account` is the contributor, or the position that was liquidated.
    """

    signature: str
    kind: str
    amount_lamports: int
    account: str
    slot: int
    at_ns: int


class FundHistoryPage(Message, frozen=True):
    """Movements of the fund, newest first."""

    rows: list[FundMovementRow]
    total: int
    limit: int
    offset: int


class AuditRow(Message, frozen=True):
    """One administrative command, accepted or refused.

    `uid` is the caller's by the kernel's word, null when the command did not come over the unix socket;
    `terminal` is what the caller says.
    """

    at_ns: int
    actor: str
    command: str
    detail: str
    accepted: bool
    uid: int | None = None
    terminal: str = ""


class AuditPage(Message, frozen=True):
    """Commands, newest first."""

    rows: list[AuditRow]
    total: int
    limit: int
    offset: int


class SettingRow(Message, frozen=True):
    """One setting as it is in force; a secret's value is `***`. `source` says where the value came from."""

    name: str
    value: str
    source: str
    description: str


class SettingsPage(Message, frozen=True):
    """All settings in the order of the manual."""

    rows: list[SettingRow]
