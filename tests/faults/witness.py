"""What is true afterwards: chain, database and journal compared, none of them believed alone.

`engine.verify` compares row by row with the chain's amounts. Beside it stand plainer looks at the same
things, so that a fault of verify's own would show as well.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

import asyncpg
from arena import Arena
from solders.pubkey import Pubkey

from engine.domain import OutcomeClass
from engine.verify import VerifyReport, Violations, verify

PAGE = 1000
NEVER_SENT = OutcomeClass.NEVER_SENT.value


@dataclass(frozen=True)
class Evidence:
    """What was found, for what a test wants to know beyond that nothing was missing or twice."""

    report: VerifyReport
    landed: int
    journal_outcomes: int


async def nothing_is_missing_or_twice(arena: Arena, *, at_least: int = 10) -> Evidence:
    """The four violations are 0; each landed transaction of the wallet is one row, in the journal's order.

    The engine must have come to rest. `at_least` so many liquidations must have happened at all.
    """
    report = await verify(
        arena.where["rpc_urls"],
        arena.settings["DATABASE_URL"],
        arena.wallet,
        Pubkey.from_string(arena.where["program_id"]),
    )
    assert report.findings == [], report.findings[:20]
    assert report.violations == Violations(0, 0, 0, 0)
    assert report.database.open_intents == 0
    assert report.database.refused_records == 0
    assert report.chain.liquidation_transactions_landed == report.database.liquidations >= at_least
    assert report.chain.fees_lamports == report.database.fees_lamports

    rows, ends = await _record(arena.settings["DATABASE_URL"])
    on_chain = await _signatures(arena)
    assert sorted(on_chain) == sorted(row["signature"] for row in rows if row["landed"])

    intents, outcomes = _journal(arena)
    assert set(outcomes) == intents, "an intent has no outcome"
    assert ends == outcomes, "an intent has not the same end in the database as in the journal"
    left = [signature for signature, end in outcomes.items() if end != NEVER_SENT]
    assert [row["signature"] for row in rows] == left, "the rows are not in the journal's order"
    return Evidence(report, len(on_chain), len(outcomes))


async def _record(dsn: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Every row of `liquidations` in the order in which the rows came, and how each intent ended.

    What was signed and withdrawn before it left is an intent that ended, and no liquidation.
    """
    connection = await asyncpg.connect(dsn, timeout=20)
    try:
        rows = await connection.fetch("SELECT signature, landed FROM liquidations ORDER BY id")
        intents = await connection.fetch("SELECT signature, status FROM intents")
    finally:
        await connection.close(timeout=5)
    return [dict(row) for row in rows], {row["signature"]: row["status"] for row in intents}


async def _signatures(arena: Arena) -> list[str]:
    """The wallet's whole finalized history."""
    found: list[str] = []
    while True:
        options: dict[str, object] = {"commitment": "finalized", "limit": PAGE}
        if found:
            options["before"] = found[-1]
        page = await arena.rpc("getSignaturesForAddress", str(arena.wallet), options)
        found += [row["signature"] for row in page]
        if len(page) < PAGE:
            return found


def _journal(arena: Arena) -> tuple[set[str], dict[str, str]]:
    """The signatures of all intents, and how each of them ended, in the order of the ends."""
    (book,) = arena.books
    with contextlib.closing(sqlite3.connect(f"file:{book / 'journal.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT kind, payload FROM outbox ORDER BY seq").fetchall()
    intents = [json.loads(payload)["signature"] for kind, payload in rows if kind == "intent"]
    ends = [json.loads(payload) for kind, payload in rows if kind == "outcome"]
    assert len(set(intents)) == len(intents)
    outcomes = {end["signature"]: end["outcome"] for end in ends}
    return set(intents), outcomes


def open_intents(arena: Arena) -> int:
    """How many intents of the journal have no end yet; read beside the engine or without it."""
    if not arena.books:
        return 0
    path = arena.books[0] / "journal.db"
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM intents WHERE closed = 0").fetchone()[0])
