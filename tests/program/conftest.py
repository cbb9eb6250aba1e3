"""A real Solana VM with the program in it, planted accounts and prices, and ends as clients read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from engine.domain import FundState, Generation, Position, Side
from engine.protocol import accounts, instructions
from engine.protocol.addresses import (
    FEEDS,
    PROGRAM_ID,
    PYTH_RECEIVER,
    SOL_USD,
    SYSTEM_PROGRAM,
    Feed,
    insurance_fund_address,
)
from engine.protocol.events import Event, read_events
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.sandbox.program import load

NOW_S = 1_760_000_000
FUND = insurance_fund_address()
_ANCHOR_LINE = re.compile(
    r"Program log: AnchorError (?:occurred|caused by account: (?P<account>\w+))\. "
    r"Error Code: (?P<name>\w+)\. Error Number: (?P<number>\d+)\. Error Message: (?P<message>.+)\."
)


@dataclass(frozen=True)
class Result:
    """One transaction's end: `code` is the custom error, None on success; the rest is what the logs say."""

    code: int | None
    error: str
    name: str | None
    account: str | None
    message: str | None
    logs: list[str]
    events: list[Event]
    compute_units: int
    fee_lamports: int
    return_data: bytes


class Chain:
    """One VM with the program, a clock that stands at NOW_S, a funded payer, and the three prices."""

    def __init__(self) -> None:
        self.svm = LiteSVM()
        self.svm.add_program(PROGRAM_ID, load())
        self.set_time(NOW_S)
        self.payer = Keypair.from_seed(bytes(range(32)))
        self.svm.airdrop(self.payer.pubkey(), 10**13)
        self.set_price("SOL/USD", 150_000_000)
        self.set_price("BTC/USD", 60_000_000_000)
        self.set_price("ETH/USD", 3_000_000_000)

    def set_time(self, unix_time_s: int) -> None:
        clock = self.svm.get_clock()
        clock.unix_timestamp = unix_time_s
        self.svm.set_clock(clock)

    def lamports(self, address: Pubkey) -> int:
        return self.svm.get_balance(address) or 0

    def rent(self, size: int) -> int:
        return self.svm.minimum_balance_for_rent_exemption(size)

    def price_update(self, symbol: str, price_e6: int) -> PriceUpdate:
        return PriceUpdate(
            write_authority=PYTH_RECEIVER,
            feed_id=FEEDS[symbol].feed_id,
            price=price_e6,
            conf=0,
            exponent=-6,
            publish_time_s=NOW_S,
            prev_publish_time_s=NOW_S,
            ema_price=price_e6,
            ema_conf=0,
            posted_slot=1,
        )

    def plant(
        self, address: Pubkey, data: bytes, owner: Pubkey = PROGRAM_ID, lamports: int | None = None
    ) -> None:
        held = self.rent(len(data)) if lamports is None else lamports
        self.svm.set_account(address, Account(held, data, owner))

    def set_price(self, symbol: str, price_e6: int, **changes: int | bytes) -> None:
        update = replace(self.price_update(symbol, price_e6), **changes)
        self.plant(FEEDS[symbol].account, encode_price_update(update), PYTH_RECEIVER)

    def plant_position(self, position: Position, lamports: int | None = None) -> None:
        self.plant(position.address, accounts.encode_position(position), lamports=lamports)

    def plant_fund(
        self, balance: int = 0, contributions: int = 0, covered: int = 0, size: int = 73, surplus: int = 0
    ) -> None:
        numbers = (balance, contributions, covered, 0)
        data = accounts.FUND_DISCRIMINATOR + bytes(self.payer.pubkey())
        data += b"".join(number.to_bytes(8, "little") for number in numbers)
        self.plant(FUND, data.ljust(size, b"\0"), lamports=self.rent(size) + balance + surplus)

    def position(self, address: Pubkey) -> Position:
        account = self.svm.get_account(address)
        assert account is not None
        return accounts.decode_position(address, account.data, 0)

    def fund(self) -> FundState:
        account = self.svm.get_account(FUND)
        assert account is not None
        return accounts.decode_fund(account.data, 0)

    def liquidation(
        self, position: Pubkey, symbol: str, amount_e6: int | None = None, liquidator: Pubkey | None = None
    ) -> Instruction:
        return instructions.liquidate(
            position,
            liquidator or self.payer.pubkey(),
            fund=FUND,
            price_account=FEEDS[symbol].account,
            sol_price_account=SOL_USD.account,
            amount_e6=amount_e6,
        )

    def send(self, *calls: Instruction, signers: tuple[Keypair, ...] = ()) -> Result:
        self.svm.expire_blockhash()
        blockhash = self.svm.latest_blockhash()
        message = Message.new_with_blockhash(list(calls), self.payer.pubkey(), blockhash)
        sent = self.svm.send_transaction(Transaction([self.payer, *signers], message, blockhash))
        error = str(sent.err()) if isinstance(sent, FailedTransactionMetadata) else ""
        meta = sent.meta() if isinstance(sent, FailedTransactionMetadata) else sent
        custom = re.search(r"InstructionErrorCustom\((\d+)\)", error)
        line = next((match for text in meta.logs() if (match := _ANCHOR_LINE.fullmatch(text))), None)
        result = Result(
            code=int(custom[1]) if custom else None,
            error=error,
            name=line["name"] if line else None,
            account=line["account"] if line else None,
            message=line["message"] if line else None,
            logs=meta.logs(),
            events=read_events(meta.logs()),
            compute_units=meta.compute_units_consumed(),
            fee_lamports=meta.fee(),
            return_data=meta.return_data().data,
        )
        if line is not None:
            assert int(line["number"]) == result.code
        return result

    def succeed(self, *calls: Instruction, signers: tuple[Keypair, ...] = ()) -> Result:
        result = self.send(*calls, signers=signers)
        assert result.error == "", "\n".join([result.error, *result.logs])
        return result


def make_position(**changes: object) -> Position:
    """A 20x long of one BTC bought at 60,000 USD with 3,000 USD, of the documented generation."""
    position = Position(
        address=Pubkey.from_bytes(bytes([9] * 32)),
        owner=Pubkey.from_bytes(bytes([8] * 32)),
        symbol="BTC/USD",
        side=Side.LONG,
        size_e6=1_000_000,
        collateral_e6=3_000_000_000,
        entry_price_e6=60_000_000_000,
        leverage=20,
        maintenance_margin_e6=1_500_000_000,
        is_liquidated=False,
        created_at_s=NOW_S,
        generation=Generation.DOCUMENTED,
        slot=0,
    )
    return replace(position, **changes)


@pytest.fixture
def position() -> Callable[..., Position]:
    """Makes a position that differs from the usual one in the fields named."""
    return make_position


@pytest.fixture
def chain() -> Chain:
    """A fresh VM with the program."""
    return Chain()


@pytest.fixture(scope="module")
def shared_chain() -> Iterator[Chain]:
    """One VM for a whole module, for tests that plant everything they read."""
    yield Chain()


@pytest.fixture(scope="module")
def new_chain() -> Callable[[], Chain]:
    """Makes further VMs, for tests that run many scenarios."""
    return Chain


@pytest.fixture
def sol_feed() -> Feed:
    """The feed that quote amounts are converted with."""
    return SOL_USD


@pytest.fixture
def fund_address() -> Pubkey:
    """The insurance fund of the default program id."""
    return FUND


@pytest.fixture
def system_program() -> Pubkey:
    """The system program's id."""
    return SYSTEM_PROGRAM
