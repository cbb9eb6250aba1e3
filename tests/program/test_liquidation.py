"""Liquidations that succeed: what they do to position, fund and lamports, and what they report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.domain import Action, Generation, Position, Side
from engine.protocol import margin
from engine.protocol.events import LiquidationEvent

NOW_S = 1_760_000_000
SOL_E6 = 150_000_000
MakePosition = Callable[..., Position]


def terms_of(position: Position) -> margin.Terms:
    return margin.Terms(
        position.side,
        position.size_e6,
        position.entry_price_e6,
        position.collateral_e6,
        position.leverage,
    )


@pytest.mark.parametrize(
    ("generation", "side", "mark_e6"),
    [
        (Generation.DEPLOYED, Side.LONG, 58_200_000_000),
        (Generation.DOCUMENTED, Side.LONG, 58_200_000_000),
        (Generation.DOCUMENTED, Side.SHORT, 61_700_000_000),
    ],
)
def test_a_partial_liquidation_restores_the_target_margin(
    chain: Any, position: MakePosition, generation: Generation, side: Side, mark_e6: int
) -> None:
    chain.plant_fund(balance=10**9, contributions=10**9)
    chain.set_price("BTC/USD", mark_e6)
    planted = position(
        generation=generation, side=side, created_at_s=77 * (generation is Generation.DOCUMENTED)
    )
    chain.plant_position(planted)
    health = margin.health_at(terms_of(planted), mark_e6)
    action, amount_e6, _ = margin.choose_action(planted.size_e6, health, mark_e6)
    assert action is Action.PARTIAL
    before, fund_before = chain.lamports(planted.address), chain.fund()

    result = chain.succeed(chain.liquidation(planted.address, "BTC/USD", amount_e6))

    expected = margin.settle_partial(terms_of(planted), mark_e6, amount_e6)
    after = chain.position(planted.address)
    assert after == replace(
        planted,
        size_e6=expected.remaining_size_e6,
        collateral_e6=expected.remaining_collateral_e6,
        maintenance_margin_e6=margin.maintenance_margin_e6(
            expected.remaining_size_e6, planted.entry_price_e6, planted.leverage
        ),
    )
    left = margin.health_at(terms_of(after), mark_e6)
    assert not margin.is_below(left, 1200)
    assert (chain.lamports(planted.address), chain.fund()) == (before, fund_before)
    assert result.events == [
        LiquidationEvent(
            position=planted.address,
            owner=planted.owner,
            liquidator=chain.payer.pubkey(),
            symbol="BTC/USD",
            liquidated_size_e6=amount_e6,
            liquidation_price_e6=mark_e6,
            liquidator_reward_lamports=margin.lamports_floor(expected.fee_e6, SOL_E6),
            bad_debt_lamports=0,
            is_full=False,
            timestamp_s=NOW_S,
        )
    ]
    assert "Program log: Instruction: LiquidatePartial" in result.logs


@pytest.mark.parametrize("generation", list(Generation))
@pytest.mark.parametrize("fund_size", [72, 73])
def test_a_full_liquidation_closes_the_account_and_sends_what_is_left_to_the_fund(
    chain: Any, position: MakePosition, fund_address: Pubkey, generation: Generation, fund_size: int
) -> None:
    """The account holds 10 SOL more than its rent, so that the remaining equity is paid whole."""
    chain.plant_fund(balance=5, contributions=10**9, covered=10**8, size=fund_size)
    planted = position(generation=generation, created_at_s=0)
    chain.plant_position(planted, lamports=10**10)
    chain.set_price("BTC/USD", 58_000_000_000)
    expected = margin.settle_full(terms_of(planted), 58_000_000_000)
    deposit = margin.lamports_floor(expected.to_fund_e6, SOL_E6)
    assert 0 < deposit < 10**10
    payer = chain.payer.pubkey()
    before = chain.lamports(payer)

    result = chain.succeed(chain.liquidation(planted.address, "BTC/USD"))

    assert chain.svm.get_account(planted.address) is None
    assert chain.lamports(payer) == before - result.fee_lamports + 10**10 - deposit
    assert chain.lamports(fund_address) == chain.rent(fund_size) + 5 + deposit
    fund = chain.fund()
    assert (fund.balance_lamports, fund.total_contributions_lamports) == (5 + deposit, 10**9)
    assert (fund.total_bad_debt_covered_lamports, fund.utilization_ratio_bps) == (10**8, 1000)
    (event,) = result.events
    assert (event.liquidated_size_e6, event.is_full, event.bad_debt_lamports) == (planted.size_e6, True, 0)
    assert event.liquidator_reward_lamports == margin.lamports_floor(expected.fee_e6, SOL_E6)
    assert "Program log: Instruction: LiquidateFull" in result.logs


def test_equity_beyond_what_the_account_holds_goes_to_the_fund_as_far_as_it_reaches(
    chain: Any, position: MakePosition, fund_address: Pubkey
) -> None:
    chain.plant_fund()
    planted = position()
    chain.plant_position(planted)
    chain.set_price("BTC/USD", 58_000_000_000)
    before = chain.lamports(chain.payer.pubkey())
    result = chain.succeed(chain.liquidation(planted.address, "BTC/USD"))
    assert chain.fund().balance_lamports == chain.rent(120)
    assert chain.lamports(fund_address) == chain.rent(73) + chain.rent(120)
    assert chain.lamports(chain.payer.pubkey()) == before - result.fee_lamports


@pytest.mark.parametrize(("balance", "is_covered"), [(10**11, True), (123_456_789, False), (0, False)])
def test_bad_debt_is_paid_from_the_fund_to_the_liquidator_as_far_as_the_fund_reaches(
    chain: Any, position: MakePosition, fund_address: Pubkey, balance: int, is_covered: bool
) -> None:
    chain.plant_fund(balance=balance, contributions=4 * 10**11, covered=7)
    planted = position()
    chain.plant_position(planted)
    chain.set_price("BTC/USD", 55_123_456_789)
    owed = margin.lamports_ceil(margin.settle_full(terms_of(planted), 55_123_456_789).bad_debt_e6, SOL_E6)
    covered = min(owed, balance)
    assert (covered == owed) == is_covered
    before = chain.lamports(chain.payer.pubkey())

    result = chain.succeed(chain.liquidation(planted.address, "BTC/USD"))

    fund = chain.fund()
    assert fund.balance_lamports == balance - covered
    assert fund.total_bad_debt_covered_lamports == 7 + covered
    assert fund.utilization_ratio_bps == margin.utilization_bps(7 + covered, 4 * 10**11)
    assert chain.lamports(fund_address) == chain.rent(73) + balance - covered
    assert chain.lamports(chain.payer.pubkey()) == before - result.fee_lamports + chain.rent(120) + covered
    (event,) = result.events
    assert (event.bad_debt_lamports, event.liquidator_reward_lamports) == (owed, 0)


def test_a_full_liquidation_of_a_position_that_a_partial_would_save_is_allowed(
    chain: Any, position: MakePosition
) -> None:
    chain.plant_fund()
    planted = position()
    chain.plant_position(planted)
    chain.set_price("BTC/USD", 58_400_000_000)
    chain.succeed(chain.liquidation(planted.address, "BTC/USD"))
    assert chain.svm.get_account(planted.address) is None


def test_sol_positions_pass_one_price_account_twice(chain: Any, position: MakePosition) -> None:
    chain.plant_fund()
    planted = position(
        symbol="SOL/USD", size_e6=10_000_000, entry_price_e6=165_000_000, collateral_e6=150_000_000
    )
    chain.plant_position(planted)
    call = chain.liquidation(planted.address, "SOL/USD")
    assert call.accounts[3].pubkey == call.accounts[4].pubkey
    result = chain.succeed(call)
    assert result.events[0].liquidation_price_e6 == SOL_E6


def test_accounts_beyond_the_fifth_are_passed_over_duplicates_included(
    chain: Any, position: MakePosition
) -> None:
    chain.plant_fund()
    planted = position()
    chain.plant_position(planted)
    chain.set_price("BTC/USD", 58_000_000_000)
    call = chain.liquidation(planted.address, "BTC/USD")
    further = [Pubkey.from_bytes(bytes([number] * 32)) for number in range(20, 30)]
    for address in further:
        chain.svm.set_account(address, Account(10**7, bytes(range(7)), Pubkey.default()))
    extra = [type(call.accounts[0])(address, is_signer=False, is_writable=False) for address in further]
    longer = type(call)(call.program_id, bytes(call.data), [*call.accounts, *extra, *call.accounts, *extra])
    result = chain.succeed(longer)
    assert result.events[0].liquidated_size_e6 == planted.size_e6


def test_the_owner_may_liquidate_a_position_of_ones_own(chain: Any, position: MakePosition) -> None:
    chain.plant_fund()
    planted = position(owner=chain.payer.pubkey())
    chain.plant_position(planted)
    chain.set_price("BTC/USD", 58_000_000_000)
    assert chain.succeed(chain.liquidation(planted.address, "BTC/USD")).events[0].owner == planted.owner


def test_a_liquidator_who_does_not_pay_the_fee_receives_the_rent(chain: Any, position: MakePosition) -> None:
    chain.plant_fund()
    liquidator = Keypair()
    planted = position()
    chain.plant_position(planted)
    chain.set_price("BTC/USD", 50_000_000_000)
    call = chain.liquidation(planted.address, "BTC/USD", liquidator=liquidator.pubkey())
    chain.succeed(call, signers=(liquidator,))
    assert chain.lamports(liquidator.pubkey()) == chain.rent(120)


def test_a_closed_position_can_be_opened_anew(chain: Any) -> None:
    from engine.protocol import instructions
    from engine.protocol.addresses import position_address

    chain.plant_fund()
    owner = chain.payer.pubkey()
    call = instructions.open_position(
        owner, "BTC/USD", size_e6=10**6, collateral_e6=3 * 10**9, entry_price_e6=6 * 10**10, leverage=20
    )
    address = position_address(owner, "BTC/USD")
    chain.succeed(call)
    chain.set_price("BTC/USD", 58_000_000_000)
    chain.succeed(chain.liquidation(address, "BTC/USD"), call)
    assert chain.position(address).size_e6 == 10**6


def test_the_confidence_may_be_exactly_one_percent_and_the_price_exactly_a_minute_old(
    chain: Any, position: MakePosition
) -> None:
    chain.plant_fund()
    planted = position()
    chain.plant_position(planted)
    for publish_time_s in (NOW_S - 60, NOW_S + 60):
        chain.plant_position(planted)
        chain.set_price("BTC/USD", 58_000_000_000, conf=580_000_000, publish_time_s=publish_time_s)
        chain.succeed(chain.liquidation(planted.address, "BTC/USD"))


@pytest.mark.parametrize(
    ("raw", "exponent", "mark_e6"),
    [
        (58, 3, 58_000_000_000),
        (580, 2, 58_000_000_000),
        (5_800_000_000_099, -8, 58_000_000_000),
        (58_000_999_999_999_999, -12, 58_000_999_999),
        (9_223_372_036_854_775_807, -18, 9_223_372),
    ],
)
def test_a_mark_price_is_the_truncated_pyth_price(
    chain: Any, position: MakePosition, raw: int, exponent: int, mark_e6: int
) -> None:
    chain.plant_fund()
    planted = position()
    chain.plant_position(planted)
    chain.set_price("BTC/USD", raw, exponent=exponent)
    result = chain.succeed(chain.liquidation(planted.address, "BTC/USD"))
    assert result.events[0].liquidation_price_e6 == mark_e6


def test_the_compute_units_are_within_what_the_documentation_says(chain: Any, position: MakePosition) -> None:
    """docs/program.md names 12,000 as the ceiling of either liquidation."""
    chain.plant_fund(balance=10**9, contributions=10**9)
    planted = position()
    for mark_e6, amount_e6 in ((58_200_000_000, 500_000), (57_800_000_000, None), (50_000_000_000, None)):
        chain.plant_position(planted)
        chain.set_price("BTC/USD", mark_e6)
        used = chain.succeed(chain.liquidation(planted.address, "BTC/USD", amount_e6)).compute_units
        assert 1_000 < used < 12_000
