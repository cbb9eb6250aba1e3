"""Owners top up and close while a liquidation of theirs is in flight: the engine takes it as no fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from simulated import Fate
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from engine.chain.frames import AccountNews
from engine.domain import Generation, OutcomeClass, Position
from engine.journal.records import OutboxKind
from engine.protocol.accounts import decode_position
from engine.protocol.addresses import BTC_USD, SOL_USD, SYSTEM_PROGRAM, position_address
from engine.protocol.instructions import add_collateral, close_position, open_position
from engine.sandbox.cluster.blocks.banks import Commitment

SOL = 10**9
BARELY_E6 = 60 * 10**6
ENOUGH_E6 = 700 * 10**6


@dataclass
class Owner:
    """Somebody with a key, lamports and a position of 20x: one BTC at 60,000 with 3,000 USD."""

    rig: Any
    key: Keypair
    position: Position

    def top_up(self, amount_e6: int) -> None:
        self._land(add_collateral(self.position.address, self.key.pubkey(), amount_e6=amount_e6))

    def close(self) -> None:
        self._land(
            close_position(
                self.position.address,
                self.key.pubkey(),
                price_account=BTC_USD.account,
                sol_price_account=SOL_USD.account,
            )
        )

    def open_again(self, collateral_e6: int) -> None:
        self._land(
            open_position(
                self.key.pubkey(),
                "BTC/USD",
                size_e6=1_000_000,
                collateral_e6=collateral_e6,
                entry_price_e6=60_000 * 10**6,
                leverage=20,
            )
        )

    def let_the_engine_know(self) -> None:
        """The notification of the account as it is now."""
        if self.rig.on_chain(self.position) is not None:
            self.rig.tell(self.position.address)
            return
        gone = AccountNews(self.position.address, b"", SYSTEM_PROGRAM, self.rig.ledger.slot, 0)
        self.rig.parts.ingest.on_accounts([gone])

    def collateral_e6(self) -> int:
        data = bytes(self.rig.on_chain(self.position).data)
        return decode_position(self.position.address, data, 0).collateral_e6

    def _land(self, instruction: Instruction) -> None:
        ledger = self.rig.ledger
        blockhash = ledger.latest_blockhash(ledger.bank(Commitment.PROCESSED)).value
        message = Message.new_with_blockhash([instruction], self.key.pubkey(), blockhash)
        transaction = Transaction([self.key], message, blockhash)
        ledger.submit(bytes(transaction), skip_preflight=True)
        assert ledger.history.get(transaction.signatures[0]).fault is None


@pytest.fixture(params=list(Generation), ids=str)
async def owner(rig: Any, request: pytest.FixtureRequest) -> Owner:
    """The owner of a position of either generation, whose liquidation at 58,000 waits to be written."""
    key = Keypair()
    rig.ledger.set_account(key.pubkey(), Account(SOL, b"", SYSTEM_PROGRAM))
    deployed = request.param is Generation.DEPLOYED
    where = {"address": position_address(key.pubkey(), "BTC/USD"), "created_at_s": 0} if deployed else {}
    position = rig.open(owner=key.pubkey(), generation=request.param, **where)
    rig.wire.fate = Fate.HOLD
    rig.price("BTC/USD", 58_000)
    await rig.until(lambda: rig.wire.waiting)
    return Owner(rig, key, position)


async def ends(owner: Owner) -> OutcomeClass:
    """Let the bytes go; the one outcome of the position's liquidation, which must not count as a failure."""
    rig = owner.rig
    rig.wire.fate = Fate.DELIVER
    rig.wire.connected.set()
    await rig.until(rig.ended(owner.position))
    assert len(rig.wire.sent) == 1
    assert rig.parts.tally.failed == 0
    assert rig.parts.failures.rows == []
    assert rig.recorded(OutboxKind.FUND) == []
    (outcome,) = rig.outcomes()
    return outcome.outcome


@pytest.mark.parametrize("known", [True, False], ids=["and the engine hears of it", "and it hears nothing"])
async def test_a_position_topped_up_in_flight_is_healthy_again(owner: Owner, known: bool) -> None:
    owner.top_up(ENOUGH_E6)
    if known:
        owner.let_the_engine_know()
    assert await ends(owner) is OutcomeClass.HEALTHY_AGAIN
    assert owner.collateral_e6() == 3_700 * 10**6


async def test_a_topped_up_position_is_liquidated_at_its_new_line_and_not_before(owner: Owner) -> None:
    """With 3,700 USD the line is at 57,743.59 instead of 58,461.54."""
    rig = owner.rig
    owner.top_up(ENOUGH_E6)
    owner.let_the_engine_know()
    await ends(owner)
    rig.price("BTC/USD", 57_744)
    await rig.tick(10)
    assert len(rig.wire.sent) == 1
    rig.price("BTC/USD", 57_743)
    await rig.until(lambda: len(rig.wire.sent) == 2)
    await rig.until(rig.ended(owner.position))
    assert rig.outcomes()[-1].outcome is OutcomeClass.CONFIRMED


async def test_too_little_collateral_changes_nothing_about_the_liquidation(owner: Owner) -> None:
    owner.top_up(BARELY_E6)
    assert await ends(owner) is OutcomeClass.CONFIRMED


@pytest.mark.parametrize("known", [True, False], ids=["and the engine hears of it", "and it hears nothing"])
async def test_a_position_closed_in_flight_is_gone_and_out_of_the_book(owner: Owner, known: bool) -> None:
    owner.rig.price("BTC/USD", 60_000)
    owner.close()
    if known:
        owner.let_the_engine_know()
    assert await ends(owner) is OutcomeClass.ALREADY_LIQUIDATED
    assert owner.position.address not in owner.rig.parts.holdings.book
    assert owner.rig.on_chain(owner.position) is None


@pytest.mark.parametrize("owner", [Generation.DEPLOYED], indirect=True, ids=str)
async def test_bytes_for_a_position_that_was_closed_do_nothing_to_the_next_one_at_its_address(
    owner: Owner,
) -> None:
    rig = owner.rig
    rig.price("BTC/USD", 60_000)
    owner.close()
    owner.open_again(collateral_e6=5_000 * 10**6)
    owner.let_the_engine_know()
    assert await ends(owner) is OutcomeClass.HEALTHY_AGAIN
    assert owner.collateral_e6() == 5_000 * 10**6
    assert owner.position.address in rig.parts.holdings.book
