"""@coral-xyz/anchor against a cluster whose program has no insurance fund yet: it creates one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from solders.account import Account
from telling import told_in

from engine.protocol.addresses import PROGRAM_ID, insurance_fund_address
from engine.sandbox import program
from engine.sandbox.cluster import Genesis, Ledger, serve

DEADLINE_S = 60


async def test_the_fund_of_a_program_without_one_is_created_and_read_back(
    node: list[str], workshop: Path
) -> None:
    ledger = Ledger(Genesis.from_seed(b"no fund yet"), time.time)
    ledger.add_program(PROGRAM_ID, program.load())
    for address, account in program.idl_accounts(PROGRAM_ID).items():
        ledger.set_account(address, account)
    server = await serve(ledger, rpc_port=0, ws_port=0, slot_ms=100)
    try:
        told = await asyncio.to_thread(
            told_in,
            [*node, "anchor_fund.mjs", server.rpc_url, server.ws_url, str(PROGRAM_ID)],
            workshop,
            DEADLINE_S,
        )
    finally:
        await server.close()
    assert told["before"] == 0
    assert told["fund"]["address"] == str(insurance_fund_address(PROGRAM_ID))
    assert (told["fund"]["isOurs"], told["fund"]["balance"]) == (True, 0)
    fund = ledger.account(insurance_fund_address(PROGRAM_ID))
    assert isinstance(fund, Account)
    assert fund.owner == PROGRAM_ID
