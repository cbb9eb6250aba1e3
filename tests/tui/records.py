"""Pages of a record for a console under test; every figure follows from the arguments."""

from __future__ import annotations

import msgspec
import snapshots

from engine.api import wire

NS = snapshots.NS
NOW_NS = 1_790_000_000 * NS  # a September; the places show the past, which does not move
OUTCOMES = (
    ("confirmed", None),
    ("exceeded CUs", "Computational budget exceeded"),
    ("confirmed", None),
    ("already liquidated", "the account is closed"),
)


def liquidation(number: int, **changes: object) -> wire.LiquidationRow:
    """An attempt that ended `number` minutes before NOW_NS."""
    outcome, message = OUTCOMES[number % 4]
    at_ns = NOW_NS - 60 * number * NS
    row = wire.LiquidationRow(
        signature=snapshots.signature(number),
        liquidation_id=f"liq{number}",
        address=snapshots.address(number),
        owner=snapshots.address(number + 10_000),
        symbol=list(snapshots.MARKS_E6)[number % 3],
        action=("full", "partial")[number % 2],
        attempt=1 + number % 3,
        outcome=outcome,
        error_message=message,
        landed=message is None,
        slot=312_884_000 - number if message is None else None,
        liquidated_size_e6=12_500_000 + number if message is None else 0,
        liquidation_price_e6=92_410_000 if message is None else 0,
        reward_lamports=18_000_000 if message is None else 0,
        fee_lamports=12_400,
        bad_debt_covered_lamports=250_000_000 if number == 2 else 0,
        bad_debt_uncovered_lamports=0,
        compute_units=41_210,
        created_at_ns=at_ns - 1_900_000_000,
        submitted_at_ns=at_ns - 1_899_000_000,
        at_ns=at_ns,
        finalized_at_ns=at_ns + 12 * NS if message is None else None,
    )
    return msgspec.structs.replace(row, **changes)


def history(
    rows: int = 8, total: int | None = None, offset: int = 0, **changes: object
) -> wire.LiquidationPage:
    """A page that begins `offset` rows behind the newest one."""
    page = wire.LiquidationPage(
        rows=[liquidation(offset + number) for number in range(rows)],
        total=rows if total is None else total,
        limit=100,
        offset=offset,
    )
    return msgspec.structs.replace(page, **changes)


def movements(rows: int = 6) -> wire.FundHistoryPage:
    """Contributions, coverages and what full liquidations left over, in turn."""
    return wire.FundHistoryPage(
        rows=[
            wire.FundMovementRow(
                signature=snapshots.signature(number),
                kind=("contribution", "coverage", "equity")[number % 3],
                amount_lamports=(1_500_000_000, 250_000_000, 31_000_000)[number % 3],
                account=snapshots.address(number + 20_000),
                slot=312_884_000 - number,
                at_ns=NOW_NS - 3_600 * number * NS,
            )
            for number in range(rows)
        ],
        total=rows,
        limit=100,
        offset=0,
    )


def audit(rows: int = 5, **changes: object) -> wire.AuditPage:
    """Commands of two people, one of them refused."""
    made = [
        wire.AuditRow(
            at_ns=NOW_NS - 600 * number * NS,
            actor=("root", "ops (HTTP)")[number % 2],
            command=("emergency-stop", "resume", "retry")[number % 3],
            detail=("drill", "over: 1 of 5 checks failed: node", "liq7")[number % 3],
            accepted=number % 3 != 1,
            uid=0 if number % 2 == 0 else None,
            terminal="/dev/pts/3" if number % 2 == 0 else "",
        )
        for number in range(rows)
    ]
    rows_changed = [msgspec.structs.replace(row, **changes) for row in made]
    return wire.AuditPage(rows=rows_changed, total=rows, limit=100, offset=0)


def settings() -> wire.SettingsPage:
    """One of each source, and a secret."""
    rows = (
        ("SOLANA_RPC_URL", "https://node.example", "environment", "The nodes to read from and send to."),
        ("DATABASE_URL", "***", "environment", "The database of the record."),
        (
            "MAX_PRIORITY_FEE_LAMPORTS",
            "100000",
            "default",
            "The most for being early.",
        ),
        ("SOLANA_WS_URL", "wss://node.example", "derived from SOLANA_RPC_URL", "Where news come from."),
    )
    return wire.SettingsPage(
        rows=[
            wire.SettingRow(name=name, value=value, source=source, description=description)
            for name, value, source, description in rows
        ]
    )


def alert(number: int, **changes: object) -> wire.AlertRow:
    """An alert that began `number` minutes before NOW_NS and is still on."""
    row = wire.AlertRow(
        id=str(number),
        rule=("fund_low", "price_held", "database_away")[number % 3],
        severity=("danger", "warning", "info")[number % 3],
        text=(
            "The insurance fund holds 8.2 SOL, less than 10: contribute",
            "ETH/USD is held, wide confidence: see the prices",
            "The database is away, history is late: start it",
        )[number % 3],
        since_ns=NOW_NS - 60 * number * NS,
    )
    return msgspec.structs.replace(row, **changes)


def alerts() -> wire.AlertPage:
    """Two that are on, one of them acknowledged, and one that is over."""
    return wire.AlertPage(
        active=2,
        alerts=[
            alert(0),
            alert(1, acknowledged_by="root", acknowledged_ns=NOW_NS),
            alert(2, ended_ns=NOW_NS - 30 * NS),
        ],
    )
