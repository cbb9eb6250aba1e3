"""The fund's utilization is one figure, whoever is asked: the chain, the engine, or the record by SQL."""

from __future__ import annotations

import time

import asyncpg

from engine.api import wire
from engine.cli.insurance import _lines
from engine.clock import SystemClock
from engine.protocol.accounts import decode_fund
from engine.protocol.margin import utilization_bps
from engine.store.fund_record import FundRecord, read_fund_record
from engine.store.outbox import OutboxShipper
from engine.store.pool import open_pool
from engine.store.retention import make_days, prune

SOL = 10**9
GUIDES_QUERY = """
SELECT
  SUM(bad_debt) as total_bad_debt,
  (SELECT SUM(amount) FROM insurance_fund_transactions WHERE transaction_type = 'contribution')
    as total_contributions,
  ROUND(100.0 * SUM(bad_debt) / (SELECT SUM(amount) FROM insurance_fund_transactions
    WHERE transaction_type = 'contribution'), 2) as utilization_pct
FROM liquidations;
"""


async def test_chain_engine_record_and_the_guides_query_say_the_same_also_after_pruning(bare, database_url):
    bare._plant_fund(balance=0)
    bare.boot()
    await bare.start()
    bare.spawn(bare.parts.contributions.run())
    await bare.parts.contributions.send(3 * SOL)
    await bare.until(lambda: bare.parts.contributions.open is None)
    position = bare.open()
    bare.price("BTC/USD", 56_000)
    await bare.until(bare.ended(position))
    await bare.parts.fund.refresh()
    await bare.parts.fund.record_contributions()
    database = await open_pool(database_url)
    assert await OutboxShipper(bare.journal, database, SystemClock()).drain(30)

    chain = decode_fund(bytes(bare.ledger.account(bare.parts.fund.address).data), 0)
    covered, contributed = chain.total_bad_debt_covered_lamports, chain.total_contributions_lamports
    assert covered > 0
    assert contributed == 3 * SOL
    state = bare.parts.fund.state
    assert (state.total_bad_debt_covered_lamports, state.total_contributions_lamports) == (
        covered,
        contributed,
    )
    wallet = str(bare.wallet.pubkey())
    for _ in range(2):
        record = await read_fund_record(database_url, wallet)
        assert (record.covered_lamports, record.contributions_lamports) == (covered, contributed)
        assert record.utilization_bps == utilization_bps(covered, contributed)
        connection = await asyncpg.connect(database_url)
        (row,) = await connection.fetch(GUIDES_QUERY)
        assert tuple(row)[:2] == (covered, contributed)
        assert abs(row["utilization_pct"] * 100 - record.utilization_bps) <= 1, "it is rounded, not cut"
        await connection.execute("UPDATE liquidations SET created_at = created_at - interval '400 days'")
        await connection.close()
        await make_days(database, time.time_ns(), 730)
        await prune(database, time.time_ns(), 30)
    await database.close()


def test_what_the_fund_paid_for_liquidations_of_others_is_told_beside_the_record():
    of_the_chain = wire.FundView(
        balance_lamports=5 * SOL,
        minimum_lamports=SOL,
        total_contributions_lamports=10 * SOL,
        total_bad_debt_covered_lamports=3 * SOL,
        utilization_bps=3_000,
        uncovered_bad_debt_lamports=0,
        trend_lamports=[],
        updated_at_ns=0,
    )
    told = "\n".join(_lines(of_the_chain, FundRecord(10 * SOL, 2 * SOL)))
    assert "30.00 % on chain" in told
    assert "20.00 % in the record: 1.000000000 SOL were covered for liquidations of others" in told
    assert "they agree" in "\n".join(_lines(of_the_chain, FundRecord(10 * SOL, 3 * SOL)))
