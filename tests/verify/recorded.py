"""A cluster, an engine's journal and its database, in which liquidations happen and lies can be told."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import asyncpg
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from engine.chain.port import Level
from engine.chain.rpc import RpcReader
from engine.clock import SystemClock
from engine.domain import Action, Generation, Intent, Position, Price, Side, Verdict
from engine.journal import Journal
from engine.liquidation import decision_record
from engine.liquidation.outcomes import Stamps, landed_outcome
from engine.protocol import accounts, instructions, margin
from engine.protocol.addresses import (
    FEEDS,
    PROGRAM_ID,
    PYTH_RECEIVER,
    SOL_USD,
    insurance_fund_address,
    position_address,
)
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.blockhashes import Blockhash
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.cluster.serving.server import ClusterServer
from engine.store.outbox import OutboxShipper
from engine.store.pool import Database
from engine.verify import verify

SOL_PRICE = 9_700_000_000  # times 1e-8


FUND = insurance_fund_address()


class World:
    """A cluster whose slots advance when told, a wallet, and an engine's journal and database."""

    def __init__(
        self,
        ledger: Ledger,
        server: ClusterServer,
        dsn: str,
        journal: Journal,
        database: Database,
        records: Any,
    ) -> None:
        self.ledger = ledger
        self.rpc_url = server.rpc_url
        self.dsn = dsn
        self.journal = journal
        self.shipper = OutboxShipper(journal, database, SystemClock())
        self.wallet = Keypair.from_seed(b"w" * 32)
        self.records = records
        self.compute_unit_limit = 200_000

    def plant(self, address: Pubkey, data: bytes, owner: Pubkey, lamports: int = 10_000_000) -> None:
        self.ledger.set_account(address, Account(lamports, data, owner))

    def blockhash(self) -> Blockhash:
        return self.ledger.latest_blockhash(self.ledger.bank(Commitment.CONFIRMED))

    def publish(self) -> None:
        update = PriceUpdate(
            PYTH_RECEIVER,
            SOL_USD.feed_id,
            SOL_PRICE,
            0,
            -8,
            int(time.time()),
            int(time.time()),
            SOL_PRICE,
            0,
            1,
        )
        self.plant(SOL_USD.account, encode_price_update(update), PYTH_RECEIVER)

    def position(self, owner: Keypair | None = None, collateral_e6: int = 40_000_000) -> Position:
        """A 20x long of 10 SOL from 100 USD, planted on chain: liquidatable at 97 USD."""
        holder = (owner or Keypair()).pubkey()
        position = Position(
            address=position_address(holder, "SOL/USD"),
            owner=holder,
            symbol="SOL/USD",
            side=Side.LONG,
            size_e6=10_000_000,
            collateral_e6=collateral_e6,
            entry_price_e6=100_000_000,
            leverage=20,
            maintenance_margin_e6=25_000_000,
            is_liquidated=False,
            created_at_s=0,
            generation=Generation.DEPLOYED,
            slot=self.ledger.slot,
        )
        self.plant(position.address, accounts.encode_position(position), PROGRAM_ID)
        return position

    def sign(self, position: Position, **changes: Any) -> Intent:
        """What an engine would sign for a position now, with the decision that led there."""
        price = Price(
            "SOL/USD", SOL_PRICE // 100, 0, SOL_PRICE, -8, int(time.time()), self.ledger.slot, Verdict.OK
        )
        terms = margin.Terms(Side.LONG, position.size_e6, 100_000_000, position.collateral_e6, 20)
        health = margin.health_at(terms, price.price_e6)
        action, amount_e6, reason = margin.choose_action(position.size_e6, health, price.price_e6)
        decision = self.records.decision()
        decision = replace(
            decision,
            position=position,
            price=price,
            health=health,
            action=action,
            amount_e6=amount_e6,
            reason=reason,
        )
        blockhash = self.blockhash()
        raw = self.transaction(position, amount_e6 if action is Action.PARTIAL else None, blockhash.value)
        now_ns = time.time_ns()
        intent = self.records.intent(
            signature=raw.signatures[0],
            position=position.address,
            owner=position.owner,
            action=Action.FULL if action is Action.HOLD else action,
            amount_e6=amount_e6,
            raw_transaction=bytes(raw),
            last_valid_block_height=blockhash.last_valid_block_height,
            detected_at_ns=now_ns,
            created_at_ns=now_ns,
            decision_json=decision_record.encode(decision),
        )
        return replace(intent, **changes)

    def transaction(self, position: Position, amount_e6: int | None, blockhash: Any) -> Transaction:
        call = instructions.liquidate(
            position.address,
            self.wallet.pubkey(),
            fund=FUND,
            price_account=FEEDS[position.symbol].account,
            sol_price_account=SOL_USD.account,
            amount_e6=amount_e6,
        )
        self.compute_unit_limit += 1  # so that no two transactions are the same bytes
        message = Message([set_compute_unit_limit(self.compute_unit_limit), call], self.wallet.pubkey())
        return Transaction([self.wallet], message, blockhash)

    def land(self, intent: Intent) -> None:
        """The bytes leave, and everything up to them becomes final."""
        self.publish()
        self.ledger.submit(intent.raw_transaction, skip_preflight=True)
        self.finalize()

    def finalize(self, slots: int = 33) -> None:
        for _ in range(slots):
            self.ledger.advance_slot()

    async def record_outcome(self, intent: Intent, **changes: Any) -> None:
        """What the chain says of a landed intent, recorded as the engine does."""
        async with RpcReader(self.rpc_url, 5) as reader:
            landed = await reader.transaction(intent.signature, Level.FINALIZED)
        assert landed is not None
        now_ns = time.time_ns()
        outcome = landed_outcome(intent, landed, FUND, Stamps(intent.created_at_ns, now_ns, now_ns))
        await self.journal.record_outcome(replace(outcome, **changes))

    async def liquidate(self, position: Position) -> Intent:
        """One liquidation from signing to the record of its end."""
        intent = self.sign(position)
        await self.journal.record_intent(intent)
        self.land(intent)
        await self.record_outcome(intent)
        return intent

    async def verify(self):
        assert await self.shipper.drain(10)
        return await verify([self.rpc_url], self.dsn, self.wallet.pubkey(), PROGRAM_ID, settle_s=0.3)

    async def sql(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
