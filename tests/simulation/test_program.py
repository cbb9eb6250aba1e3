"""The simulated program ends every case as the real one does, in a real VM, to the last lamport and byte."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sim.program import Account, Effect, Refused, liquidate
from solders.account import Account as VmAccount
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from engine.domain import Generation, Position, Side
from engine.protocol import instructions
from engine.protocol.accounts import FUND_DISCRIMINATOR, encode_position
from engine.protocol.addresses import (
    BTC_USD,
    PROGRAM_ID,
    PYTH_RECEIVER,
    SOL_USD,
    SYSTEM_PROGRAM,
    Feed,
    insurance_fund_address,
)
from engine.protocol.pyth import PriceUpdate, encode_price_update
from engine.sandbox.program import load

NOW_S = 1_760_000_000
CASES = 600
FUND = insurance_fund_address()
WALLET = Keypair.from_seed(bytes(range(32)))


@dataclass(frozen=True)
class Case:
    """What a liquidation finds."""

    address: Pubkey
    position: Account | None
    fund: Account
    price: Account
    sol: Account
    amount_e6: int | None


@dataclass(frozen=True)
class End:
    """What a liquidation leaves: its error, or the accounts, what the wallet gained, and the event's line."""

    code: int | None
    position: Account | None = None
    fund: Account | None = None
    gained_lamports: int = 0
    event: str = ""


def draw(random: Random, rent: int) -> Case:
    """A case around the lines that decide: healthy, liquidatable, under water, dust, stale, closed."""
    mark = random.choice((150 * 10**6, 60_000 * 10**6)) * random.randint(90, 110) // 100
    entry = mark * random.randint(96, 104) // 100
    size = random.choice((10**3, 10**5, 10**7, 10**9)) * random.randint(1, 9) + random.randint(0, 99)
    side = random.choice((Side.LONG, Side.SHORT))
    loss = size * (entry - mark if side is Side.LONG else mark - entry) // 10**6
    position = Position(
        address=Pubkey.from_bytes(random.randbytes(32)),
        owner=Pubkey.from_bytes(random.randbytes(32)),
        symbol="BTC/USD",
        side=side,
        size_e6=size,
        collateral_e6=max(0, size * mark // 10**6 * random.randint(-30, 80) // 1000 + loss),
        entry_price_e6=entry,
        leverage=random.choice((1, 20, 21, 50, 51, 100, 101, 500, 501, 1000, 1001, 0)),
        maintenance_margin_e6=7,
        is_liquidated=False,
        created_at_s=NOW_S,
        generation=Generation.DOCUMENTED if side is Side.SHORT else random.choice(list(Generation)),
        slot=0,
    )
    balance = random.choice((0, 10**6, 10**12))
    fund = FUND_DISCRIMINATOR + bytes(32)
    fund += b"".join(number.to_bytes(8, "little") for number in (balance, random.choice((0, 10**12)), 5, 0))
    held = Account(rent + random.randint(0, 10**6), encode_position(position), PROGRAM_ID)
    return Case(
        position.address,
        None if random.random() < 0.03 else held,
        Account(10**7 + balance, fund + b"\xff", PROGRAM_ID),
        _price(random, BTC_USD, mark),
        _price(random, SOL_USD, 150 * 10**6),
        random.choice((None, size * random.randint(1, 99) // 100, size, 0)),
    )


def _price(random: Random, feed: Feed, mark_e6: int) -> Account:
    age_s = random.choice((0, 0, 0, 0, 0, 0, 0, 60, 61))
    conf = mark_e6 * 100 * random.choice((0, 0, 0, 0, 0, 1, 2)) // 100
    update = PriceUpdate(
        PYTH_RECEIVER, feed.feed_id, mark_e6 * 100 + 77, conf, -8, NOW_S - age_s, NOW_S - age_s, 1, 0, 1
    )
    return Account(2 * 10**6, encode_price_update(update), PYTH_RECEIVER)


def by_the_model(case: Case) -> End:
    accounts = (case.position, case.fund, case.price, case.sol)
    try:
        effect: Effect = liquidate(case.address, accounts, case.amount_e6, WALLET.pubkey(), NOW_S)
    except Refused as refusal:
        return End(refusal.code)
    position = effect.position if effect.position.lamports else None
    return End(None, position, effect.fund, effect.wallet_gains_lamports, effect.log)


def by_the_program(svm: LiteSVM, case: Case) -> End:
    held = case.position or Account(0, b"", SYSTEM_PROGRAM)
    for address, account in (
        (case.address, held), (FUND, case.fund), (BTC_USD.account, case.price), (SOL_USD.account, case.sol),
    ):  # fmt: skip
        svm.set_account(address, VmAccount(account.lamports, account.data, account.owner))
    svm.set_account(WALLET.pubkey(), VmAccount(10**12, b"", SYSTEM_PROGRAM))
    call = instructions.liquidate(
        case.address,
        WALLET.pubkey(),
        fund=FUND,
        price_account=BTC_USD.account,
        sol_price_account=SOL_USD.account,
        amount_e6=case.amount_e6,
    )
    svm.expire_blockhash()
    message = Message.new_with_blockhash([call], WALLET.pubkey(), svm.latest_blockhash())
    sent = svm.send_transaction(Transaction([WALLET], message, svm.latest_blockhash()))
    if isinstance(sent, FailedTransactionMetadata):
        return End(int(str(sent.err()).rsplit("(", 1)[-1].rstrip(")")))
    gained = svm.get_balance(WALLET.pubkey()) - 10**12 + sent.fee()
    (event,) = [line for line in sent.logs() if line.startswith("Program data: ")]
    return End(None, _account(svm, case.address), _account(svm, FUND), gained, event)


def _account(svm: LiteSVM, address: Pubkey) -> Account | None:
    found = svm.get_account(address)
    if found is None or not found.lamports:
        return None
    return Account(found.lamports, bytes(found.data), found.owner)


def test_the_simulated_program_ends_every_case_as_the_real_one():
    svm = LiteSVM()
    svm.add_program(PROGRAM_ID, load())
    clock = svm.get_clock()
    clock.unix_timestamp = NOW_S
    svm.set_clock(clock)
    random = Random(7)
    ends = set()
    for _ in range(CASES):
        case = draw(random, svm.minimum_balance_for_rent_exemption(120))
        real = by_the_program(svm, case)
        assert by_the_model(case) == real, case
        ends.add((real.code, case.amount_e6 is None))
    # Both kinds succeeded, and each refusal that the model knows came up.
    assert {(None, True), (None, False), (6004, True), (6008, True), (6009, True), (6010, False)} <= ends
    assert {code for code, _ in ends} >= {3012, 6000}
