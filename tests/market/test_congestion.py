"""Congestion: strangers take the room that the fund's account has in a block, and bid for it in bursts."""

from __future__ import annotations

from typing import Any

import pytest
from market_square import FUND, Square
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from engine.domain import Position
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.leader import BlockLimits
from engine.sandbox.market.congestion import BURST_TICKS, Congestion
from engine.sandbox.market.seeds import key

ROOM = BlockLimits().writable_account_units
STRANGERS = {key(7, f"stranger {number}").pubkey() for number in range(64)}


class Sent:
    """What strangers hand to the leader, caught on the way."""

    def __init__(self, square: Square) -> None:
        self.transactions: list[VersionedTransaction] = []
        take_in = square.leader.take_in

        def catch(raw: bytes, **options: Any) -> Any:
            transaction = VersionedTransaction.from_bytes(raw)
            if transaction.message.account_keys[0] in STRANGERS:
                self.transactions.append(transaction)
            return take_in(raw, **options)

        square.leader.take_in = catch  # type: ignore[method-assign]

    def units(self) -> int:
        """Compute units that they ask for, together."""
        return sum(self._budget(2))

    def bids(self) -> list[int]:
        """Micro-lamports that each of them bids for a compute unit."""
        return self._budget(3)

    def _budget(self, kind: int) -> list[int]:
        return [
            int.from_bytes(bytes(call.data)[1:], "little")
            for each in self.transactions
            for call in each.message.instructions
            if bytes(call.data)[:1] == bytes([kind])
            and len(bytes(call.data)) in (5, 9)
            and not bytes(call.accounts)
        ]


def of_strangers(square: Square, slot: int) -> list[LandedTransaction]:
    return [each for each in square.ledger.history.in_slot(slot) if each.accounts.static[0] in STRANGERS]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_strangers_ask_for_the_share_of_the_funds_room_that_is_set(share: float) -> None:
    square = Square(positions=1, congestion=share)
    square.tick(3)
    sent = Sent(square)
    square.tick()
    asked = sent.units() + 1_400 * len(sent.transactions)
    assert share * ROOM - 5_000 <= asked <= share * ROOM
    signatures = {each.signatures[0] for each in sent.transactions}
    assert len(signatures) == len(sent.transactions) > 2
    assert all(FUND in each.message.account_keys for each in sent.transactions)


def test_they_land_lock_the_fund_for_writing_and_leave_it_as_it_was() -> None:
    square = Square(positions=1, congestion=0.5)
    before = square.ledger.account(FUND)
    square.tick(10)
    landed = of_strangers(square, square.ledger.slot)
    assert len(landed) > 5
    assert sum(each.metadata.compute_units_consumed() for each in landed) > 0.98 * 0.5 * ROOM
    assert all(each.fault is None and FUND in each.accounts.writable for each in landed)
    assert square.ledger.account(FUND) == before


def test_what_it_takes_to_write_to_the_fund_rises_and_falls_with_the_strangers_bids() -> None:
    square = Square(positions=1, congestion=0.5)
    congestion = Congestion(square.market._venue())
    square.tick(4 * BURST_TICKS)
    fees = dict(square.ledger.priority_fees.recent([FUND], square.ledger.slot))
    levels = set()
    for tick in range(10, 4 * BURST_TICKS):
        level = congestion.level_microlamports(tick)
        slot = square.ledger.slot - 4 * BURST_TICKS + tick
        assert level // 2 <= fees[slot] <= level + 100
        levels.add(level)
    assert len(levels) == 4
    assert max(levels) > 2 * min(levels)


def test_bids_within_a_burst_differ() -> None:
    square = Square(positions=1, congestion=1.0)
    sent = Sent(square)
    square.tick(2)
    assert len(set(sent.bids())) > len(sent.bids()) / 2


def test_who_bids_above_the_strangers_gets_into_a_full_block_and_who_bids_below_waits() -> None:
    square = Square(positions=1, congestion=1.0)
    first, second = square.plant(1), square.plant(2)
    rich, poor = square.keypair("who bids much"), square.keypair("who bids little")
    square.fall(100)
    square.tick(5)
    level = Congestion(square.market._venue()).level_microlamports(6)

    def liquidation(position: Position, who: Keypair, bid_microlamports: int) -> bytes:
        budget = set_compute_unit_limit(500_000), set_compute_unit_price(bid_microlamports)
        return square.sign(who, *budget, square.liquidation(position, who.pubkey()))

    square.tick_with([liquidation(second, poor, 1), liquidation(first, rich, 2 * level)])
    assert square.ledger.account(first.address) is None
    square.tick(3)
    assert square.ledger.account(second.address) is not None
    square.market.rpc_methods["sandboxMarket"]([{"congestion": 0.5}])
    square.tick(2)
    assert square.ledger.account(second.address) is None


def test_equal_seeds_congest_equally() -> None:
    def lived_through(seed: int) -> list[Any]:
        square = Square(positions=1, seed=seed, congestion=0.2)
        square.tick(6)
        slots = range(square.ledger.slot - 6, square.ledger.slot + 1)
        return [each.signature for slot in slots for each in square.ledger.history.in_slot(slot)]

    assert lived_through(7) == lived_through(7)
    assert lived_through(7) != lived_through(8)


def test_none_is_none() -> None:
    square = Square(positions=1)
    square.tick(5)
    assert square.figure("congestion_sent") == 0
