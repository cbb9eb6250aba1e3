"""A ledger with the program and a market, and a clock that stands still between its slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from engine.domain import Position
from engine.protocol.accounts import POSITION_DISCRIMINATOR, decode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, PYTH_RECEIVER
from engine.protocol.margin import Terms
from engine.protocol.pyth import PriceUpdate, decode_price_update, to_e6
from engine.sandbox import program
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market.market import Market
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.scenarios import Scenario, price_paths

POSITIONS = 120


class Town:
    """`further` are further settings of the plan: population, behaviour, genesis_positions."""

    def __init__(
        self,
        scenario: Scenario = Scenario.CALM,
        seed: int = 7,
        positions: int = POSITIONS,
        with_program: bool = True,
        **further: Any,
    ) -> None:
        self.now_s = 1_700_000_000.0
        self.ledger = Ledger(Genesis.from_seed(b"a town", nonce=bytes(32)), lambda: self.now_s)
        if with_program:
            self.ledger.add_program(PROGRAM_ID, program.load())
        self.leader = Leader(self.ledger)
        plan = MarketPlan(seed, positions, scenario, price_paths(scenario, seed, {}, 10), **further)
        self.market = Market(self.ledger, plan, leader=self.leader)
        for _ in self.market.begin():
            pass

    def open(self) -> Town:
        """Open the positions that are opened by transactions, over some slots."""
        for _ in self.market.open_positions(batch=40):
            self.slots(1)
        return self

    def slots(self, count: int) -> None:
        """Let slots pass, each with the leader's work at its end."""
        for _ in range(count):
            self.leader.work()
            self.now_s += 0.4
            self.ledger.advance_slot()
            self.market.on_slot(self.ledger)
        self.leader.work()

    def position_accounts(self) -> dict[Pubkey, Account]:
        return {
            address: account
            for address, account in self.ledger.program_accounts(PROGRAM_ID)
            if account.data[:8] == POSITION_DISCRIMINATOR
        }

    def positions(self) -> list[Position]:
        return [
            decode_position(address, account.data, self.ledger.slot)
            for address, account in self.position_accounts().items()
        ]

    def feed(self, symbol: str) -> PriceUpdate:
        account = self.ledger.account(FEEDS[symbol].account)
        assert account is not None and account.owner == PYTH_RECEIVER
        return decode_price_update(account.data)

    def mark_e6(self, symbol: str) -> int:
        update = self.feed(symbol)
        return to_e6(update.price, update.exponent)

    def lamports(self, address: Pubkey) -> int:
        account = self.ledger.account(address)
        return 0 if account is None else account.lamports

    def call(self, method: str, *parameters: object) -> Any:
        """Call one of the market's own RPC methods."""
        methods: dict[str, Callable[[list[object]], object]] = self.market.rpc_methods
        return methods[method](list(parameters))


def terms_of(position: Position) -> Terms:
    return Terms(
        position.side,
        position.size_e6,
        position.entry_price_e6,
        position.collateral_e6,
        position.leverage,
    )
