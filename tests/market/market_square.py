"""A market whose prices the test holds in its hand, on a real ledger with the real program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from market_town import terms_of
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from engine.domain import Health, Position, Side
from engine.protocol.accounts import POSITION_DISCRIMINATOR, decode_position, encode_position
from engine.protocol.addresses import FEEDS, PROGRAM_ID, SOL_USD, SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.events import Event, read_events
from engine.protocol.instructions import instruction_name, liquidate
from engine.protocol.margin import health_at, is_liquidatable
from engine.sandbox import program
from engine.sandbox.cluster.blocks.banks import Commitment
from engine.sandbox.cluster.blocks.genesis import Genesis
from engine.sandbox.cluster.blocks.history import LandedTransaction
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.ledger.ledger import Ledger
from engine.sandbox.market.behaviour import Behaviour
from engine.sandbox.market.market import Market
from engine.sandbox.market.plan import MarketPlan
from engine.sandbox.market.scenarios import Scenario
from engine.sandbox.market.seeds import key

FUND = insurance_fund_address()
START_USD = {"SOL/USD": 150, "BTC/USD": 60_000, "ETH/USD": 3_000}


@dataclass
class HeldPath:
    """A price that moves when the test moves it, in 1e-8 USD."""

    raw: int

    @property
    def start_raw(self) -> int:
        return self.raw

    def advance(self) -> int:
        return self.raw


class Square:
    """A started market of `positions`; nobody does anything that the behaviour given does not ask for."""

    def __init__(self, positions: int = 40, seed: int = 7, **behaviour: Any) -> None:
        self.now_s = 1_700_000_000.0
        self.ledger = Ledger(Genesis.from_seed(b"a square", nonce=bytes(32)), lambda: self.now_s)
        self.ledger.add_program(PROGRAM_ID, program.load())
        self.leader = Leader(self.ledger)
        self.paths = {symbol: HeldPath(dollars * 10**8) for symbol, dollars in START_USD.items()}
        settings = {"openings_per_minute": 0.0, "closings_per_minute": 0.0, "top_ups_per_minute": 0.0}
        plan = MarketPlan(
            seed, positions, Scenario.CALM, self.paths, behaviour=Behaviour(**settings | behaviour)
        )
        self.market = Market(self.ledger, plan, leader=self.leader)
        for step in (self.market.begin(), self.market.open_positions(batch=50)):
            for _ in step:
                pass
        self.market.start()

    def fall(self, permille: int) -> None:
        """Every price falls from its start by so much; negative is a rise."""
        for symbol, path in self.paths.items():
            path.raw = START_USD[symbol] * 10**5 * (1000 - permille)

    def tick(self, count: int = 1) -> None:
        """One slot: its beginning, in which the market acts, and the leader's work."""
        for _ in range(count):
            self.now_s += 0.4
            self.ledger.advance_slot()
            self.market.on_slot(self.ledger)
            self.leader.work()

    def tick_with(self, transactions: list[bytes]) -> None:
        """One slot in which these wait beside what the market sends."""
        self.now_s += 0.4
        self.ledger.advance_slot()
        for raw in transactions:
            self.leader.take_in(raw, skip_preflight=True)
        self.market.on_slot(self.ledger)
        self.leader.work()

    def figure(self, name: str) -> int:
        """One of the actors' counts."""
        described: Any = self.market.rpc_methods["sandboxMarket"]([])
        return int(described["done"].get(name, 0))

    # --- what is there ---

    def positions(self) -> dict[Pubkey, Position]:
        return {
            address: decode_position(address, bytes(account.data), 0)
            for address, account in self.ledger.program_accounts(PROGRAM_ID)
            if account.data[:8] == POSITION_DISCRIMINATOR
        }

    def health(self, position: Position) -> Health:
        """At the price that the test holds, also before the market's next tick."""
        return health_at(terms_of(position), self.paths[position.symbol].raw // 100)

    def liquidatable(self) -> set[Pubkey]:
        return {address for address, each in self.positions().items() if is_liquidatable(self.health(each))}

    def landed(self, name: str) -> list[LandedTransaction]:
        """The transactions in all blocks that call this instruction of the program, oldest first."""
        found = []
        for slot in range(self.ledger.first_slot, self.ledger.slot + 1):
            for each in self.ledger.history.in_slot(slot):
                message = each.wire.message
                calls = [
                    call
                    for call in message.instructions
                    if message.account_keys[call.program_id_index] == PROGRAM_ID
                ]
                if any(instruction_name(bytes(call.data)) == name for call in calls):
                    found.append(each)
        return found

    def events(self, name: str) -> list[Event]:
        """What the successful ones of these transactions logged."""
        return [
            event
            for each in self.landed(name)
            if each.fault is None
            for event in read_events(each.metadata.logs())
        ]

    # --- what others do ---

    def plant(self, number: int = 1, **changes: Any) -> Position:
        """A stranger's position: a 20x long of one BTC at 60,000 USD, liquidatable below 58,461.54."""
        terms: dict[str, Any] = {
            "symbol": "BTC/USD",
            "side": Side.LONG,
            "size_e6": 1_000_000,
            "collateral_e6": 3_000_000_000,
            "entry_price_e6": 60_000_000_000,
            "leverage": 20,
        }
        pattern = next(iter(self.positions().values()))
        named = {"address": key(number, "a position").pubkey(), "owner": key(number, "a stranger").pubkey()}
        position = Position(
            **{field: getattr(pattern, field) for field in pattern.__slots__} | named | terms | changes
        )
        data = encode_position(position)
        self.ledger.set_account(position.address, Account(10**7, data, PROGRAM_ID))
        return position

    def keypair(self, name: str, lamports: int = 10**9) -> Keypair:
        """Somebody else with lamports."""
        made = key(0, name)
        self.ledger.set_account(made.pubkey(), Account(lamports, b"", SYSTEM_PROGRAM))
        return made

    def sign(self, signer: Keypair, *calls: Instruction) -> bytes:
        blockhash = self.ledger.latest_blockhash(self.ledger.bank(Commitment.PROCESSED)).value
        message = Message.new_with_blockhash(list(calls), signer.pubkey(), blockhash)
        return bytes(Transaction([signer], message, blockhash))

    def liquidation(self, position: Position, liquidator: Pubkey) -> Instruction:
        return liquidate(
            position.address,
            liquidator,
            fund=FUND,
            price_account=FEEDS[position.symbol].account,
            sol_price_account=SOL_USD.account,
            amount_e6=None,
        )
