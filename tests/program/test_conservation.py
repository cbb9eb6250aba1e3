"""Whatever is done to the program, no lamport appears or vanishes and the fund's ledger stays true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.domain import FundState
from engine.protocol import instructions
from engine.protocol.addresses import FEEDS, SOL_USD, insurance_fund_address, position_address
from engine.protocol.events import (
    CollateralAddedEvent,
    ContributionEvent,
    LiquidationEvent,
    PositionClosedEvent,
)
from engine.protocol.margin import utilization_bps

FUND = insurance_fund_address()
ENTRIES = {"SOL/USD": 150_000_000, "BTC/USD": 60_000_000_000, "ETH/USD": 3_000_000_000}

symbols = st.sampled_from(tuple(FEEDS))
moves = st.sampled_from((500, 900, 950, 970, 980, 990, 1000, 1010, 1020, 1030, 1050, 1100, 1500))
leverages = st.sampled_from((1, 10, 20, 50, 100, 500, 1000))
units = st.integers(1, 20_000_000)


class Economy(RuleBasedStateMachine):
    """Traders, contributors and liquidators in any order; every lamport of everybody is counted."""

    make_chain: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.chain = type(self).make_chain()
        self.people = [Keypair.from_seed(bytes([number] * 32)) for number in (1, 2, 3)]
        for person in self.people:
            self.chain.svm.airdrop(person.pubkey(), 10**12)
        self.positions: dict[Pubkey, str] = {}
        self.fees = 0
        self.contributed = self.covered = 0
        self.endowment = self.counted()

    def counted(self) -> int:
        holders = [
            self.chain.payer.pubkey(),
            FUND,
            *(person.pubkey() for person in self.people),
            *self.positions,
        ]
        return sum(self.chain.lamports(holder) for holder in holders)

    def send(self, call: Instruction, *signers: Keypair) -> Any:
        before: FundState | None = self.chain.fund() if self.chain.svm.get_account(FUND) else None
        result = self.chain.send(call, signers=signers)
        self.fees += result.fee_lamports
        if result.error:
            assert before is None or self.chain.fund() == before
            assert result.events == []
        return result

    @initialize()
    def begin(self) -> None:
        assert self.send(instructions.initialize_insurance_fund(self.chain.payer.pubkey())).error == ""

    @rule(who=st.integers(0, 2), symbol=symbols, size=units, leverage=leverages)
    def open(self, who: int, symbol: str, size: int, leverage: int) -> None:
        owner = self.people[who]
        collateral = max(1, size * ENTRIES[symbol] // (10**6 * leverage))
        call = instructions.open_position(
            owner.pubkey(),
            symbol,
            size_e6=size,
            collateral_e6=collateral,
            entry_price_e6=ENTRIES[symbol],
            leverage=leverage,
        )
        address = position_address(owner.pubkey(), symbol)
        result = self.send(call, owner)
        assert (result.error == "") == (address not in self.positions)
        self.positions[address] = symbol

    @rule(who=st.integers(0, 2), symbol=symbols, size=units, leverage=leverages, is_long=st.booleans())
    def create(self, who: int, symbol: str, size: int, leverage: int, is_long: bool) -> None:
        owner = self.people[who]
        account = Keypair.from_seed(len(self.positions).to_bytes(2, "little") + bytes([who, 99]) * 15)
        call = instructions.create_position(
            account.pubkey(),
            owner.pubkey(),
            symbol,
            size_e6=size,
            collateral_e6=max(1, size * ENTRIES[symbol] // (10**6 * leverage)),
            entry_price_e6=ENTRIES[symbol],
            leverage=leverage,
            is_long=is_long,
        )
        if self.send(call, owner, account).error == "":
            self.positions[account.pubkey()] = symbol

    @rule(
        who=st.integers(0, 2),
        which=st.integers(0, 10**6),
        amount=st.sampled_from((0, 1, 10**6, 10**9, 2**63, 2**64 - 1)),
    )
    def add_collateral(self, who: int, which: int, amount: int) -> None:
        """Anybody tries; only the owner changes anything, and that is the collateral alone."""
        address = self.pick(which)
        if address is None:
            return
        person = self.people[who]
        before, fund = self.chain.position(address), self.chain.fund()
        result = self.send(instructions.add_collateral(address, person.pubkey(), amount_e6=amount), person)
        assert self.chain.fund() == fund
        if result.error:
            assert self.chain.position(address) == before
            return
        (event,) = result.events
        assert isinstance(event, CollateralAddedEvent)
        assert before.owner == person.pubkey()
        assert self.chain.position(address) == replace(before, collateral_e6=event.collateral_e6)
        assert event.collateral_e6 - before.collateral_e6 == amount > 0

    @rule(who=st.integers(0, 2), which=st.integers(0, 10**6))
    def close(self, who: int, which: int) -> None:
        """Anybody tries; the rent returns to the owner, and to nobody else."""
        address = self.pick(which)
        if address is None:
            return
        person = self.people[who]
        before, fund = self.chain.position(address), self.chain.fund()
        purse, rent = self.chain.lamports(person.pubkey()), self.chain.lamports(address)
        call = instructions.close_position(
            address,
            person.pubkey(),
            price_account=FEEDS[self.positions[address]].account,
            sol_price_account=SOL_USD.account,
        )
        result = self.send(call, person)
        assert self.chain.fund() == fund
        if result.error:
            assert self.chain.position(address) == before
            assert self.chain.lamports(person.pubkey()) == purse
            return
        (event,) = result.events
        assert isinstance(event, PositionClosedEvent)
        assert before.owner == person.pubkey()
        assert self.chain.lamports(person.pubkey()) == purse + rent
        assert self.chain.svm.get_account(address) is None
        del self.positions[address]

    def pick(self, which: int) -> Pubkey | None:
        """One of the open positions, if there are any."""
        return list(self.positions)[which % len(self.positions)] if self.positions else None

    @rule(who=st.integers(0, 2), amount=st.sampled_from((0, 1, 10**6, 10**9, 5 * 10**11, 10**13)))
    def contribute(self, who: int, amount: int) -> None:
        person = self.people[who]
        result = self.send(instructions.contribute_to_insurance(person.pubkey(), amount), person)
        if result.error == "":
            self.contributed += amount
            (event,) = result.events
            assert isinstance(event, ContributionEvent)
            assert event.new_balance_lamports == self.chain.fund().balance_lamports

    @rule(symbol=symbols, permille=moves)
    def move_price(self, symbol: str, permille: int) -> None:
        self.chain.set_price(symbol, ENTRIES[symbol] * permille // 1000)

    @rule(
        who=st.integers(0, 2),
        which=st.integers(0, 10**6),
        share=st.sampled_from((None, None, 1, 10, 500, 990)),
    )
    def liquidate(self, who: int, which: int, share: int | None) -> None:
        address = self.pick(which)
        if address is None:
            return
        symbol = self.positions[address]
        account = self.chain.svm.get_account(address)
        amount = None
        if share is not None and account is not None:
            amount = max(1, self.chain.position(address).size_e6 * share // 1000)
        liquidator = self.people[who]
        before = self.chain.fund()
        call = self.chain.liquidation(address, symbol, amount, liquidator=liquidator.pubkey())
        result = self.send(call, liquidator)
        if result.error:
            return
        (event,) = result.events
        assert isinstance(event, LiquidationEvent)
        if event.is_full:
            self.covered += min(event.bad_debt_lamports, before.balance_lamports)
            del self.positions[address]
            assert self.chain.svm.get_account(address) is None

    @invariant()
    def no_lamport_appears_or_vanishes(self) -> None:
        assert self.counted() + self.fees == self.endowment

    @invariant()
    def the_fund_holds_its_rent_and_its_balance(self) -> None:
        if self.chain.svm.get_account(FUND) is None:
            return
        fund = self.chain.fund()
        assert self.chain.lamports(FUND) == self.chain.rent(73) + fund.balance_lamports
        assert fund.total_contributions_lamports == self.contributed
        assert fund.total_bad_debt_covered_lamports == self.covered
        assert fund.utilization_ratio_bps == utilization_bps(self.covered, self.contributed)


def test_lamports_are_conserved_and_the_funds_ledger_is_true_in_any_order_of_events(
    new_chain: Callable[[], Any],
) -> None:
    class OnThisChain(Economy):
        make_chain = staticmethod(new_chain)

    run_state_machine_as_test(
        OnThisChain,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, database=None, derandomize=True
        ),
    )
