"""Pages of the record: what the database has, by filter and page; the journal's while it is away."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from engine.api.client import CommandRefused
from engine.journal.records import FundTransaction, FundTransactionKind


async def test_a_liquidation_is_in_the_recent_ones_with_its_figures(served):
    position = await served.liquidated()
    outcome = served.rig.outcomes()[0]
    await served.ship()
    page = await served.client.recent(10, 0)
    (row,) = page.rows
    assert (page.total, page.source, page.note) == (1, "database", "")
    assert (row.address, row.owner) == (str(position.address), str(position.owner))
    assert (row.outcome, row.error_message, row.landed) == ("confirmed", None, True)
    assert (row.fee_lamports, row.reward_lamports) == (outcome.fee_lamports, outcome.reward_lamports)
    assert row.liquidated_size_e6 == outcome.liquidated_size_e6
    assert row.at_ns // 1000 == outcome.confirmed_at_ns // 1000


async def test_the_journal_answers_the_same_while_the_database_is_away(served):
    position = await served.liquidated()
    await served.ship()
    (kept,) = (await served.client.recent(10, 0)).rows
    await served.server._history.close()
    page = await served.client.recent(10, 0)
    assert page.source == "journal"
    assert page.note
    (row,) = page.rows
    assert row.signature == kept.signature
    for name in row.__struct_fields__:
        here, there = getattr(row, name), getattr(kept, name)
        assert here == there or (name.endswith("_ns") and here // 1000 == there // 1000), name
    assert (await served.client.recent(10, 0, search=str(position.owner)[:9])).total == 1
    assert (await served.client.recent(10, 0, search="zzzz")).total == 0
    with pytest.raises(CommandRefused) as refusal:
        await served.client.fund_history(10, 0)
    assert refusal.value.code == "database_away"


async def test_each_filter_takes_what_matches_and_leaves_the_rest(served):
    position = await served.liquidated()
    await served.ship()
    (row,) = (await served.client.recent(10, 0)).rows
    day = datetime.fromtimestamp(row.at_ns / 1e9, UTC).date().isoformat()
    taken = [
        {"symbol": "BTC/USD"},
        {"outcome": "confirmed"},
        {"search": str(position.address)},
        {"search": row.signature[:20]},
        {"search": str(position.owner)[:5]},
        {"from_date": day, "to_date": day},
        {"from_date": "1971-01-01T00:00:00+02:00"},
    ]
    left = [
        {"symbol": "SOL/USD"},
        {"outcome": "timeout"},
        {"search": "1111111111"},
        {"to_date": "1999-12-31"},
        {"from_date": "2200-01-01"},
    ]
    for wanted in taken:
        assert (await served.client.recent(10, 0, **wanted)).total == 1, wanted
    for wanted in left:
        page = await served.client.recent(10, 0, **wanted)
        assert (page.total, page.rows) == (0, []), wanted


async def test_pages_follow_each_other_newest_first(served):
    signatures = []
    for _ in range(3):
        await served.liquidated()
        served.rig.price("BTC/USD", 60_000)
    await served.ship()
    for offset in range(3):
        page = await served.client.recent(1, offset)
        assert (page.total, page.limit, page.offset) == (3, 1, offset)
        signatures += [row.signature for row in page.rows]
    every = await served.client.recent(10, 0)
    assert signatures == [row.signature for row in every.rows]
    times = [row.at_ns for row in every.rows]
    assert times == sorted(times, reverse=True)


async def test_the_attempts_on_one_position_are_its_own(served):
    one, other = await served.liquidated(), await served.liquidated()
    await served.ship()
    for position in (one, other):
        status, page = await served.get(f"/positions/{position.address}/liquidations")
        assert status == 200
        assert [row["address"] for row in page["rows"]] == [str(position.address)]


async def test_the_funds_history_has_each_movement_with_its_kind(served):
    rig = served.rig
    position = await served.liquidated()
    movement = FundTransaction(
        rig.outcomes()[0].signature, FundTransactionKind.CONTRIBUTION, 7, position.owner, 5, 10**18
    )
    await rig.journal.record_fund_transaction(movement)
    await served.ship()
    page = await served.client.fund_history(10, 0)
    found = {(row.kind, row.amount_lamports, row.account) for row in page.rows}
    assert ("contribution", 7, str(position.owner)) in found
    assert page.total == len(page.rows)


async def test_every_command_is_in_the_audit_with_uid_and_terminal(served, monkeypatch):
    monkeypatch.setattr("engine.api.client.os.ttyname", lambda _: "/dev/pts/7" + "x" * 90)
    await served.client.stop("drill")
    with pytest.raises(CommandRefused):
        await served.client.retry("0" * 12)
    await served.ship()
    page = await served.client.audit(10, 0)
    assert [(row.command, row.accepted) for row in page.rows] == [("retry", False), ("emergency-stop", True)]
    assert {(row.uid, row.terminal) for row in page.rows} == {(os.getuid(), "/dev/pts/7" + "x" * 53 + "…")}


async def test_the_settings_name_their_source_and_hide_their_secrets(served):
    page = await served.client.settings()
    rows = {row.name: row for row in page.rows}
    assert (rows["SERVER_PORT"].value, rows["SERVER_PORT"].source) == ("8080", "default")
    assert rows["SOLANA_RPC_URL"].source == "environment"
    assert rows["SOLANA_WS_URL"].source == "derived from SOLANA_RPC_URL"
    assert rows["HERMES_API_KEY"].value == "***"
    assert (rows["AT_RISK_FACTOR"].value, rows["INSURANCE_FUND_MINIMUM_SOL"].value) == ("1.3", "10")
    assert all(row.description for row in page.rows)
    assert "hush" not in str(page)
    assert "key-in-a-path" not in str(page)


@pytest.mark.parametrize("path", ["/admin/audit", "/settings", "/snapshot", "/admin/resume"])
async def test_what_is_for_operators_alone_is_not_served_over_tcp(served, path):
    status, answer = await served.get(path)
    assert status in (403, 404, 405)
    assert "error" in answer


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=100001", "offset"),
        ("symbol=", "symbol"),
        ("symbol=" + "x" * 33, "symbol"),
        ("outcome=nothing", "outcome"),
        ("search=0OIl", "search"),
        ("search=%27%20OR%201", "search"),
        ("search=" + "1" * 89, "search"),
        ("from_date=yesterday", "from_date"),
        ("to_date=2026-13-01", "to_date"),
        ("to_date=9999-12-31T23:59:59-23:59", "to_date"),
        ("unheard=1", "unheard"),
    ],
)
async def test_a_bad_parameter_is_named_with_what_it_may_be(served, query, parameter):
    status, answer = await served.get(f"/liquidations/recent?{query}")
    error = answer["error"]
    assert (status, error["code"], error["details"]["parameter"]) == (400, "bad_parameter", parameter)
    assert error["details"]["allowed"] in error["message"]
