"""The program on chain decides and settles every case as the formulas say, and so as the engine does."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from solders.pubkey import Pubkey

from engine.domain import Action, Generation, Position, Price, Side, Verdict
from engine.liquidation.decide import decide
from engine.protocol.addresses import insurance_fund_address
from engine.protocol.program_errors import ProgramError

sys.path.insert(0, str(Path(__file__).parents[1] / "exactness"))
from exact_formulas import Closing, Holding, Standing, maintenance_margin_e6
from exact_situations import U64_MAX, situations, sized

SEED = int(os.environ.get("EXACTNESS_SEED", "20260722"))
FEW, MANY = 2_000, 100_000
CASES_PER_VM = 2_000
HIGHEST_MARK_E6 = 2**63 - 1  # a Pyth price is an i64
MOST_LAMPORTS = 2**56  # the VM's own capitalization is a u64, too
SYMBOL = "BTC/USD"
ADDRESS = Pubkey.from_bytes(bytes([9] * 32))


@dataclass(frozen=True)
class Surroundings:
    """What a liquidation reads beside position and mark."""

    sol_price_e6: int
    fund_balance: int
    fund_covered: int
    fund_contributions: int
    spare_lamports: int


def surroundings(rng: Random) -> Surroundings:
    # Mostly a SOL price at which the amounts fit in a u64; sometimes any.
    usual = rng.random() < 0.8
    return Surroundings(
        sol_price_e6=rng.randint(10**6, 10**12) if usual else max(1, sized(rng, 62) % HIGHEST_MARK_E6),
        fund_balance=sized(rng) % MOST_LAMPORTS,
        fund_covered=sized(rng) % MOST_LAMPORTS,
        fund_contributions=sized(rng),
        spare_lamports=sized(rng) % MOST_LAMPORTS,
    )


def plant(chain: Any, holding: Holding, mark_e6: int, around: Surroundings) -> Position:
    """Put position, fund and prices into the VM; returns the position as planted."""
    position = Position(
        address=ADDRESS,
        owner=Pubkey.from_bytes(bytes([8] * 32)),
        symbol=SYMBOL,
        side=Side.LONG if holding.is_long else Side.SHORT,
        size_e6=holding.size_e6,
        collateral_e6=holding.collateral_e6,
        entry_price_e6=holding.entry_e6,
        leverage=holding.leverage,
        maintenance_margin_e6=1,
        is_liquidated=False,
        created_at_s=0,
        generation=Generation.DEPLOYED if holding.is_long and holding.size_e6 % 2 else Generation.DOCUMENTED,
        slot=0,
    )
    size = 78 + len(SYMBOL) if position.generation is Generation.DEPLOYED else 120
    chain.plant_position(position, lamports=chain.rent(size) + around.spare_lamports)
    chain.plant_fund(around.fund_balance, around.fund_contributions, around.fund_covered)
    chain.set_price(SYMBOL, mark_e6)
    chain.set_price("SOL/USD", around.sol_price_e6)
    return position


def fits(closing: Closing, holding: Holding, around: Surroundings) -> bool:
    """Whether every figure that the program stores or reports is a u64."""
    covered = min(closing.bad_debt_lamports, around.fund_balance)
    figures = [closing.reward_lamports, closing.bad_debt_lamports, around.fund_covered + covered]
    if closing.is_full and around.fund_contributions:
        figures.append(10_000 * (around.fund_covered + covered) // around.fund_contributions)
    if not closing.is_full:
        figures.append(closing.left_collateral_e6)
        figures.append(maintenance_margin_e6(closing.left_size_e6, holding.entry_e6, holding.leverage))
    return max(figures) <= U64_MAX


def check_refusals(chain: Any, size_e6: int) -> str:
    """Health is 1 or above: both instructions are refused."""
    for amount in (None, max(1, size_e6 // 2)):
        result = chain.send(chain.liquidation(ADDRESS, SYMBOL, amount))
        assert result.code == ProgramError.PositionNotLiquidatable, result.logs
    return "hold"


def check_end(chain: Any, planted: Position, closing: Closing, around: Surroundings) -> str:
    """Send what the engine decided, and compare position, event and every lamport with the formulas."""
    held, payer_before = chain.lamports(ADDRESS), chain.lamports(chain.payer.pubkey())
    sent = None if closing.is_full else closing.closed_e6
    result = chain.succeed(chain.liquidation(ADDRESS, SYMBOL, sent))
    (event,) = result.events
    assert (event.liquidated_size_e6, event.is_full) == (closing.closed_e6, closing.is_full)
    assert event.liquidator_reward_lamports == closing.reward_lamports
    assert event.bad_debt_lamports == closing.bad_debt_lamports
    covered = min(closing.bad_debt_lamports, around.fund_balance)
    deposit = min(closing.to_fund_lamports, held)
    balance = around.fund_balance - covered + deposit
    fund = chain.fund()
    assert (fund.balance_lamports, fund.total_bad_debt_covered_lamports) == (
        balance,
        around.fund_covered + covered,
    )
    assert chain.lamports(insurance_fund_address()) == chain.rent(73) + balance
    gained = chain.lamports(chain.payer.pubkey()) - payer_before + result.fee_lamports
    if closing.is_full:
        assert chain.svm.get_account(ADDRESS) is None
        assert gained == held - deposit + covered
        return "full with bad debt" if closing.bad_debt_e6 else "full"
    assert gained == 0
    assert chain.position(ADDRESS) == replace(
        planted,
        size_e6=closing.left_size_e6,
        collateral_e6=closing.left_collateral_e6,
        maintenance_margin_e6=maintenance_margin_e6(
            closing.left_size_e6, planted.entry_price_e6, planted.leverage
        ),
    )
    return "partial"


def check_case(chain: Any, holding: Holding, mark_e6: int, around: Surroundings) -> str:
    """One case in the VM; returns how it ended."""
    planted = plant(chain, holding, mark_e6, around)
    standing = Standing(holding, mark_e6)
    decision = decide(planted, Price(SYMBOL, mark_e6, 0, mark_e6, -6, 1, 1, Verdict.OK))
    amount = standing.amount_to_close_e6()
    if amount is None:
        assert decision.action is Action.HOLD
        return check_refusals(chain, holding.size_e6)
    assert decision.amount_e6 == amount
    closing = standing.close(amount, around.sol_price_e6)
    if not fits(closing, holding, around):
        sent = None if closing.is_full else amount
        assert chain.send(chain.liquidation(ADDRESS, SYMBOL, sent)).code == ProgramError.Overflow
        return "overflow"
    return check_end(chain, planted, closing, around)


def run(new_chain: Any, cases: int, seed: int) -> Counter[str]:
    """So many cases, each VM used for some of them; names the case that fails."""
    rng = Random(seed + 1)
    ended: Counter[str] = Counter()
    chain = new_chain()
    for situation in situations(seed, cases, HIGHEST_MARK_E6):
        for mark_e6 in rng.sample(situation.marks_e6, min(6, len(situation.marks_e6))):
            around = surroundings(rng)
            try:
                ended[check_case(chain, situation.holding, mark_e6, around)] += 1
            except AssertionError:
                print(f"seed {seed}, case {ended.total()}: {situation.holding} at {mark_e6}, {around}")
                raise
            if ended.total() % CASES_PER_VM == 0:
                chain = new_chain()
            if ended.total() >= cases:
                return ended
    return ended


def test_the_program_ends_many_cases_as_the_engine_decided_them(new_chain: Any) -> None:
    ended = run(new_chain, FEW, SEED)
    assert ended.total() == FEW
    assert min(ended[kind] for kind in ("hold", "full", "full with bad debt", "partial", "overflow")) >= 20


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_program_ends_a_hundred_thousand_cases_as_the_engine_decided_them(
    new_chain: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run(new_chain, MANY, SEED + 100)
    assert ended.total() == MANY
    with capsys.disabled():
        print(f"\ncases run on chain: {ended.total():,}, different: 0, of them {dict(ended)}")
