"""A rival liquidator: exact, with a key of its own, and only as fast and as well paying as it is set."""

from __future__ import annotations

from typing import Any

import pytest
from market_square import FUND, Square
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price

from engine.domain import Side
from engine.protocol.accounts import decode_fund
from engine.protocol.addresses import FEEDS, SYSTEM_PROGRAM
from engine.protocol.events import LiquidationEvent
from engine.protocol.margin import LAMPORTS_PER_SOL, is_below
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.leader import Fate
from engine.sandbox.market.oracle_conditions import OracleCondition
from engine.sandbox.market.rival import RETRY_TICKS, Rival
from engine.sandbox.market.seeds import key


def rivals(square: Square, seed: int = 7) -> list[LandedTransaction]:
    """The rival's landed liquidations, oldest first."""
    address = key(seed, "rival").pubkey()
    both = [*square.landed("liquidate_full"), *square.landed("liquidate_partial")]
    return sorted((each for each in both if each.accounts.static[0] == address), key=lambda each: each.slot)


def test_a_rival_alone_takes_every_liquidatable_position_at_once_and_no_healthy_one() -> None:
    square = Square(positions=200, rival_share=1.0)
    square.fall(40)
    doomed, before = square.liquidatable(), square.positions()
    square.tick()
    events = [*square.events("liquidate_full"), *square.events("liquidate_partial")]
    assert {event.position for event in events if isinstance(event, LiquidationEvent)} == doomed
    assert len(doomed) > 25
    assert square.liquidatable() == set()
    assert square.figure("rival_sent") == square.figure("rival_won") == len(events) == len(doomed)
    assert square.figure("rival_lost") == 0
    after = square.positions()
    for address in before.keys() - doomed:
        assert after[address] == before[address]


def test_a_partial_liquidation_restores_the_margin_exactly_to_the_target() -> None:
    square = Square(positions=1, rival_share=1.0)
    position = square.plant()
    square.fall(28)  # 58,320: some equity is left
    square.tick()
    (event,) = square.events("liquidate_partial")
    assert isinstance(event, LiquidationEvent)
    left = square.positions()[position.address]
    assert not is_below(square.health(left), 1200)
    assert left.size_e6 == position.size_e6 - event.liquidated_size_e6


def test_a_share_is_a_share_of_the_positions_and_the_others_are_left_to_others() -> None:
    square = Square(positions=400, rival_share=0.4)
    square.fall(60)
    doomed = square.liquidatable()
    square.tick(30)
    taken = doomed - square.liquidatable()
    assert 0.25 * len(doomed) < len(taken) < 0.55 * len(doomed)
    assert len(rivals(square)) == square.figure("rival_won")


def test_which_positions_it_takes_follows_from_the_seed() -> None:
    def taken(seed: int) -> list[Any]:
        square = Square(positions=150, seed=seed, rival_share=0.5)
        for permille in (10, 30, 20, 60):
            square.fall(permille)
            square.tick(5)
        return [(each.slot, each.signature) for each in rivals(square, seed)]

    assert len(taken(7)) > 5
    assert taken(7) == taken(7)
    assert taken(7) != taken(8)


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_it_sends_as_many_slots_after_a_position_became_liquidatable_as_it_is_set(delay: int) -> None:
    square = Square(positions=100, rival_share=1.0, rival_delay_slots=delay)
    square.tick(2)
    square.fall(40)
    begun = square.ledger.slot + 1
    square.tick(delay + 1)
    landed = rivals(square)
    assert landed
    assert {each.slot for each in landed} == {begun + delay}


def test_a_position_that_recovers_within_the_delay_is_left_alone() -> None:
    square = Square(positions=100, rival_share=1.0, rival_delay_slots=3)
    square.fall(40)
    square.tick(2)
    square.fall(0)
    square.tick(10)
    assert square.figure("rival_sent") == 0
    square.fall(40)
    square.tick(4)
    assert square.figure("rival_won") > 10


def test_positions_of_strangers_that_appear_later_and_shorts_are_seen_too() -> None:
    square = Square(positions=1, rival_share=1.0)
    square.tick(3)
    long = square.plant(1)
    short = square.plant(2, side=Side.SHORT)
    square.fall(100)
    square.tick()
    assert square.ledger.account(long.address) is None
    square.fall(-100)
    square.tick()
    assert square.ledger.account(short.address) is None


def test_a_transaction_that_got_lost_is_tried_again_after_a_while_and_not_before() -> None:
    square = Square(positions=1, rival_share=1.0)
    position = square.plant()
    square.leader.fate = lambda _: Fate(lost=True)
    square.fall(100)
    square.tick(RETRY_TICKS)
    assert square.figure("rival_sent") == 1
    square.leader.fate = None
    square.tick(1)
    assert square.figure("rival_sent") == 2
    assert square.ledger.account(position.address) is None


def test_who_is_first_at_the_leader_with_more_to_pay_wins_and_the_rival_pays_its_fee_for_nothing() -> None:
    square = Square(positions=1, rival_share=1.0, rival_bid_microlamports=1_000, rival_delay_slots=1)
    position = square.plant()
    other = square.keypair("somebody faster")
    square.fall(100)
    square.tick()
    raw = square.sign(
        other,
        set_compute_unit_limit(20_000),
        set_compute_unit_price(50_000),
        square.liquidation(position, other.pubkey()),
    )
    square.leader.take_in(raw, skip_preflight=True)
    square.tick()
    events = square.events("liquidate_full")
    assert [event.liquidator for event in events] == [other.pubkey()]  # type: ignore[union-attr]
    assert square.figure("rival_won") == 0


def test_it_pays_from_an_account_of_its_own_which_the_faucet_fills_like_a_traders() -> None:
    square = Square(positions=60, rival_share=1.0, rival_bid_microlamports=100_000)
    rival = key(7, "rival").pubkey()
    square.tick(2)
    funded = square.ledger.account(rival)
    assert funded is not None
    assert LAMPORTS_PER_SOL <= funded.lamports <= 10 * LAMPORTS_PER_SOL
    square.ledger.set_account(rival, Account(10_000, b"", SYSTEM_PROGRAM))
    square.fall(40)
    square.tick(RETRY_TICKS + 2)
    landed = rivals(square)
    assert landed
    assert all(each.fee_lamports == 5_000 + 20_000 * 100_000 // 10**6 for each in landed)
    assert square.liquidatable() == set()


def test_bad_debt_that_it_takes_over_is_paid_by_the_fund() -> None:
    square = Square(positions=1, rival_share=1.0)
    square.plant()
    before = decode_fund(bytes(square.ledger.account(FUND).data), 0)
    square.fall(80)
    square.tick()
    (event,) = square.events("liquidate_full")
    assert isinstance(event, LiquidationEvent)
    after = decode_fund(bytes(square.ledger.account(FUND).data), 0)
    assert before.balance_lamports - after.balance_lamports == event.bad_debt_lamports > 0


@pytest.mark.parametrize(
    "trouble",
    [OracleCondition(age_s=61), OracleCondition(confidence_factor=1_000.0)],
    ids=["old", "wide"],
)
def test_a_price_that_the_program_would_refuse_is_no_reason_to_send(trouble: OracleCondition) -> None:
    square = Square(positions=1, rival_share=1.0)
    square.plant()
    square.tick(2)
    for symbol in FEEDS:
        square.market.oracle.set(symbol, trouble)
    square.fall(100)
    square.tick(2)
    assert square.figure("rival_sent") == 0
    for symbol in FEEDS:
        square.market.oracle.set(symbol, OracleCondition())
    square.tick(2)
    assert square.figure("rival_won") > 0


def test_a_tick_in_which_nothing_crosses_reads_no_position(monkeypatch: pytest.MonkeyPatch) -> None:
    square = Square(positions=150, rival_share=1.0)
    square.tick()
    read: list[object] = []
    real = Rival._take

    def take(rival: Rival, *arguments: Any) -> bool:
        read.append(arguments[0])
        return real(rival, *arguments)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a tick went through all positions")

    monkeypatch.setattr(Rival, "_take", take)
    monkeypatch.setattr(type(square.ledger), "program_accounts", refuse)
    square.tick(5)
    assert read == []
