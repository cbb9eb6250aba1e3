"""Liquidations that are refused: every check of accounts, prices, amounts and solvency; nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol import accounts, instructions
from engine.protocol.addresses import BTC_USD, ETH_USD, PROGRAM_ID, PYTH_RECEIVER, SOL_USD, SYSTEM_PROGRAM
from engine.protocol.pyth import encode_price_update

NOW_S = 1_760_000_000
STRANGER = Pubkey.from_bytes(bytes([1] * 32))
MakePosition = Callable[..., Position]


class Case:
    """A position that may be liquidated, ready for one thing about it to be spoiled."""

    def __init__(self, chain: Any, position: Position) -> None:
        self.chain = chain
        self.position = position
        chain.plant_fund(balance=10**9, contributions=10**9)
        chain.plant_position(position)
        chain.set_price("BTC/USD", 58_000_000_000)
        self.calls = [
            chain.liquidation(position.address, "BTC/USD"),
            chain.liquidation(position.address, "BTC/USD", 300_000),
        ]

    def replace_account(self, index: int, meta: AccountMeta) -> None:
        for i, call in enumerate(self.calls):
            metas = list(call.accounts)
            metas[index] = meta
            self.calls[i] = Instruction(call.program_id, bytes(call.data), metas)

    def spoil_price(self, feed: Any, data: bytes, owner: Pubkey = PYTH_RECEIVER) -> None:
        self.chain.plant(feed.account, data, owner)

    def refused(
        self, code: int, name: str, account: str | None = None, signers: tuple[Keypair, ...] = ()
    ) -> None:
        """Both liquidations end with this error and leave every account as it was, but for the fee."""
        for call in self.calls:
            keys = [meta.pubkey for meta in call.accounts if meta.pubkey != self.chain.payer.pubkey()]
            before = [self.chain.svm.get_account(key) for key in keys]
            result = self.chain.send(call, signers=signers)
            assert (result.code, result.name, result.account) == (code, name, account), result.logs
            assert [self.chain.svm.get_account(key) for key in keys] == before
            assert result.events == []


@pytest.fixture
def case(chain: Any, position: MakePosition) -> Case:
    return Case(chain, position())


def test_the_unspoiled_case_is_liquidated_either_way(case: Case) -> None:
    case.chain.succeed(case.calls[1])
    case.chain.succeed(case.calls[0])


# Who may be liquidated


@pytest.mark.parametrize(("side", "mark_e6"), [(Side.LONG, 60_000_000_000), (Side.SHORT, 59_000_000_000)])
def test_a_healthy_position_is_not_liquidatable(
    chain: Any, position: MakePosition, side: Side, mark_e6: int
) -> None:
    case = Case(chain, position(side=side))
    chain.set_price("BTC/USD", mark_e6)
    case.refused(6004, "PositionNotLiquidatable")


def test_health_of_exactly_one_is_not_liquidatable(chain: Any, position: MakePosition) -> None:
    """Equity 2.5 exactly at 2.5 % of 100; one unit of collateral less and it is."""
    at_one = {"size_e6": 10**6, "entry_price_e6": 100 * 10**6, "collateral_e6": 2_500_000}
    case = Case(chain, position(**at_one))
    chain.set_price("BTC/USD", 100 * 10**6)
    case.refused(6004, "PositionNotLiquidatable")
    chain.plant_position(position(**(at_one | {"collateral_e6": 2_499_999})))
    chain.succeed(case.calls[0])


def test_a_flagged_or_empty_position_is_already_liquidated(chain: Any, position: MakePosition) -> None:
    Case(chain, position(is_liquidated=True)).refused(6003, "AlreadyLiquidated")
    Case(chain, position(size_e6=0)).refused(6003, "AlreadyLiquidated")
    Case(chain, position(size_e6=0, generation=Generation.DEPLOYED)).refused(6003, "AlreadyLiquidated")


def test_a_position_that_was_closed_meets_anchors_own_error(case: Case) -> None:
    case.chain.succeed(case.calls[0])
    case.refused(3012, "AccountNotInitialized", "position")


@pytest.mark.parametrize("leverage", [0, 1001, 65535])
def test_a_leverage_that_has_no_maintenance_ratio_is_refused(
    chain: Any, position: MakePosition, leverage: int
) -> None:
    Case(chain, position(leverage=leverage)).refused(6000, "InvalidLeverage")


# How much may be liquidated


@pytest.mark.parametrize("amount_e6", [0, 1_000_000, 1_000_001, 2**64 - 1])
def test_a_partial_amount_of_nothing_or_of_everything_is_refused(case: Case, amount_e6: int) -> None:
    case.calls = [case.chain.liquidation(case.position.address, "BTC/USD", amount_e6)]
    case.refused(6010, "InvalidLiquidationAmount")


@pytest.mark.parametrize("mark_e6", [57_000_000_000, 56_999_999_999, 50_000_000_000])
def test_a_partial_liquidation_needs_equity(case: Case, mark_e6: int) -> None:
    case.chain.set_price("BTC/USD", mark_e6)
    case.calls = [case.chain.liquidation(case.position.address, "BTC/USD", 1)]
    case.refused(6010, "InvalidLiquidationAmount")


def test_a_partial_fee_may_not_exceed_the_equity(case: Case) -> None:
    """At 57,100 the equity is 100 USD; the fee of 1.25 % is 142 USD on 0.2 BTC, 99.9 USD on 0.14 BTC."""
    case.chain.set_price("BTC/USD", 57_100_000_000)
    enough = case.chain.liquidation(case.position.address, "BTC/USD", 140_000)
    case.calls = [case.chain.liquidation(case.position.address, "BTC/USD", 200_000)]
    case.refused(6010, "InvalidLiquidationAmount")
    case.chain.succeed(enough)


def test_a_partial_may_not_overdraw_the_collateral(chain: Any, position: MakePosition) -> None:
    """A long in profit with 1 USD of collateral: half realises 250 USD, its fee is 378, the equity 501."""
    planted = position(collateral_e6=1_000_000)
    case = Case(chain, planted)
    chain.set_price("BTC/USD", 60_500_000_000)
    case.calls = [case.chain.liquidation(planted.address, "BTC/USD", 500_000)]
    case.refused(6010, "InvalidLiquidationAmount")


# The position account


def test_a_position_of_another_program_is_refused(case: Case) -> None:
    case.chain.plant(case.position.address, accounts.encode_position(case.position), owner=STRANGER)
    case.refused(3007, "AccountOwnedByWrongProgram", "position")
    case.chain.plant(case.position.address, accounts.encode_position(case.position), owner=SYSTEM_PROGRAM)
    case.refused(3007, "AccountOwnedByWrongProgram", "position")


def test_a_position_account_without_a_discriminator_is_refused(case: Case) -> None:
    case.chain.plant(case.position.address, accounts.POSITION_DISCRIMINATOR[:7])
    case.refused(3001, "AccountDiscriminatorNotFound", "position")


def test_an_account_of_another_type_is_no_position(case: Case) -> None:
    data = accounts.FUND_DISCRIMINATOR + accounts.encode_position(case.position)[8:]
    case.chain.plant(case.position.address, data)
    case.refused(3002, "AccountDiscriminatorMismatch", "position")


def test_every_truncated_or_overlong_position_is_refused(chain: Any, position: MakePosition) -> None:
    for generation in Generation:
        case = Case(chain, position(generation=generation, created_at_s=0))
        data = accounts.encode_position(case.position)
        case.calls = case.calls[:1]
        for length in (*range(8, len(data)), len(data) + 1, len(data) + 5):
            if length == 85:
                continue  # exactly the deployed generation of the same position
            chain.plant(case.position.address, data.ljust(length, b"\0")[:length])
            case.refused(3003, "AccountDidNotDeserialize", "position")


@pytest.mark.parametrize(
    ("offset", "value"),
    [(40, 33), (40, 255), (43, 255), (44, 0x80), (85, 2), (86, 2)],
    ids=["long symbol", "longer symbol", "huge symbol", "no utf8", "is_long", "is_liquidated"],
)
def test_a_position_with_values_that_its_types_lack_is_refused(case: Case, offset: int, value: int) -> None:
    data = bytearray(accounts.encode_position(case.position))
    data[offset] = value
    case.chain.plant(case.position.address, bytes(data))
    case.refused(3003, "AccountDidNotDeserialize", "position")


def test_a_position_that_is_not_writable_is_refused(case: Case) -> None:
    case.replace_account(0, AccountMeta(case.position.address, is_signer=False, is_writable=False))
    case.refused(2000, "ConstraintMut", "position")


# The fund and the liquidator


def test_an_account_of_the_fund_type_at_another_address_is_refused(case: Case, fund_address: Pubkey) -> None:
    case.chain.plant(STRANGER, case.chain.svm.get_account(fund_address).data)
    case.replace_account(1, AccountMeta(STRANGER, is_signer=False, is_writable=True))
    case.refused(2006, "ConstraintSeeds", "insurance_fund")


def test_a_fund_that_was_never_created_is_refused(
    chain: Any, position: MakePosition, fund_address: Pubkey
) -> None:
    case = Case(chain, position())
    chain.svm.set_account(fund_address, Account(0, b"", SYSTEM_PROGRAM))
    case.refused(3012, "AccountNotInitialized", "insurance_fund")


def test_a_fund_of_another_program_type_or_length_is_refused(case: Case, fund_address: Pubkey) -> None:
    data = case.chain.svm.get_account(fund_address).data
    case.chain.plant(fund_address, data, owner=STRANGER)
    case.refused(3007, "AccountOwnedByWrongProgram", "insurance_fund")
    case.chain.plant(fund_address, accounts.POSITION_DISCRIMINATOR + data[8:])
    case.refused(3002, "AccountDiscriminatorMismatch", "insurance_fund")
    for length in (8, 71, 74):
        case.chain.plant(fund_address, data.ljust(length, b"\0")[:length])
        case.refused(3003, "AccountDidNotDeserialize", "insurance_fund")


def test_a_fund_that_is_not_writable_is_refused(case: Case, fund_address: Pubkey) -> None:
    case.replace_account(1, AccountMeta(fund_address, is_signer=False, is_writable=False))
    case.refused(2000, "ConstraintMut", "insurance_fund")


def test_a_fund_whose_lamports_fall_short_of_its_ledger_is_refused(case: Case, fund_address: Pubkey) -> None:
    data = bytearray(case.chain.svm.get_account(fund_address).data)
    data[40:48] = (10**12).to_bytes(8, "little")
    case.chain.plant(fund_address, bytes(data))
    case.chain.set_price("BTC/USD", 50_000_000_000)
    case.calls = case.calls[:1]
    case.refused(6006, "Overflow")


def test_the_liquidator_must_sign_and_be_writable(case: Case) -> None:
    liquidator = Keypair()
    case.chain.svm.airdrop(liquidator.pubkey(), 10**9)
    case.replace_account(2, AccountMeta(liquidator.pubkey(), is_signer=False, is_writable=True))
    case.refused(3010, "AccountNotSigner", "liquidator")
    case.replace_account(2, AccountMeta(liquidator.pubkey(), is_signer=True, is_writable=False))
    case.refused(2000, "ConstraintMut", "liquidator", signers=(liquidator,))


# One account in two places


def test_the_fund_cannot_be_liquidated_as_a_position(case: Case, fund_address: Pubkey) -> None:
    case.replace_account(0, AccountMeta(fund_address, is_signer=False, is_writable=True))
    case.refused(3002, "AccountDiscriminatorMismatch", "position")


def test_a_position_cannot_stand_in_for_the_fund(case: Case) -> None:
    case.replace_account(1, AccountMeta(case.position.address, is_signer=False, is_writable=True))
    case.refused(3002, "AccountDiscriminatorMismatch", "insurance_fund")


def test_the_fund_cannot_be_the_liquidator(case: Case, fund_address: Pubkey) -> None:
    case.replace_account(2, AccountMeta(fund_address, is_signer=False, is_writable=True))
    case.refused(3010, "AccountNotSigner", "liquidator")


def test_a_position_cannot_be_closed_into_itself(chain: Any, position: MakePosition) -> None:
    """The key that created a position can still sign for it."""
    key = Keypair()
    case = Case(chain, position(address=key.pubkey()))
    case.calls = [
        chain.liquidation(key.pubkey(), "BTC/USD", liquidator=key.pubkey()),
        chain.liquidation(key.pubkey(), "BTC/USD", 300_000, liquidator=key.pubkey()),
    ]
    case.refused(2040, "ConstraintDuplicateMutableAccount", "liquidator", signers=(key,))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_named_account_cannot_stand_in_for_a_price(case: Case, index: int) -> None:
    named = case.calls[0].accounts[index].pubkey
    for place, account in ((4, "sol_price_update"), (3, "price_update")):
        case.replace_account(place, AccountMeta(named, is_signer=False, is_writable=False))
        case.refused(3007, "AccountOwnedByWrongProgram", account)


# Prices


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_missing_accounts_are_refused(case: Case, count: int) -> None:
    case.calls = [Instruction(PROGRAM_ID, bytes(call.data), call.accounts[:count]) for call in case.calls]
    case.refused(3005, "AccountNotEnoughKeys")


PRICES = [("BTC/USD", BTC_USD, "price_update"), ("SOL/USD", SOL_USD, "sol_price_update")]


@pytest.mark.parametrize(("symbol", "feed", "account"), PRICES)
def test_a_price_account_that_is_not_pyths_is_refused(
    case: Case, symbol: str, feed: Any, account: str
) -> None:
    data = encode_price_update(case.chain.price_update(symbol, 58_000_000_000))
    case.spoil_price(feed, data, owner=STRANGER)
    case.refused(3007, "AccountOwnedByWrongProgram", account)
    case.chain.svm.set_account(feed.account, Account(0, b"", SYSTEM_PROGRAM))
    case.refused(3007, "AccountOwnedByWrongProgram", account)


@pytest.mark.parametrize(("symbol", "feed", "account"), PRICES)
def test_a_price_account_of_another_type_or_length_is_refused(
    case: Case, symbol: str, feed: Any, account: str
) -> None:
    data = encode_price_update(case.chain.price_update(symbol, 58_000_000_000))
    case.spoil_price(feed, data[:7])
    case.refused(3001, "AccountDiscriminatorNotFound", account)
    case.spoil_price(feed, bytes(8) + data[8:])
    case.refused(3002, "AccountDiscriminatorMismatch", account)
    for length in (8, 41, 132):
        case.spoil_price(feed, data[:length])
        case.refused(3003, "AccountDidNotDeserialize", account)


@pytest.mark.parametrize(("symbol", "feed", "account"), PRICES)
@pytest.mark.parametrize("level", [0, 2, 255])
def test_a_price_that_is_not_fully_verified_is_refused(
    case: Case, symbol: str, feed: Any, account: str, level: int
) -> None:
    data = bytearray(encode_price_update(case.chain.price_update(symbol, 58_000_000_000)))
    data[40] = level
    case.spoil_price(feed, bytes(data))
    case.refused(6009, "PriceDeviationTooHigh", account)


@pytest.mark.parametrize(("symbol", "feed", "account"), PRICES)
def test_a_price_of_another_feed_is_refused(case: Case, symbol: str, feed: Any, account: str) -> None:
    case.chain.set_price(symbol, 58_000_000_000, feed_id=ETH_USD.feed_id)
    case.refused(6005, "Unauthorized", account)


def test_two_price_accounts_in_the_wrong_order_are_refused(case: Case) -> None:
    case.replace_account(3, AccountMeta(SOL_USD.account, is_signer=False, is_writable=False))
    case.replace_account(4, AccountMeta(BTC_USD.account, is_signer=False, is_writable=False))
    case.refused(6005, "Unauthorized", "price_update")


@pytest.mark.parametrize("symbol", ["DOGE/USD", "BTC/EUR", "btc/usd", "BTC/US", "B"])
def test_a_symbol_without_a_feed_is_refused(chain: Any, position: MakePosition, symbol: str) -> None:
    Case(chain, position(symbol=symbol)).refused(6005, "Unauthorized", "price_update")


@pytest.mark.parametrize("symbol", ["BTC/USD", "SOL/USD"])
@pytest.mark.parametrize("publish_time_s", [NOW_S - 61, NOW_S + 61, 0, -1, -(2**63), 2**63 - 1])
def test_a_price_more_than_a_minute_from_the_clock_is_stale(
    case: Case, symbol: str, publish_time_s: int
) -> None:
    case.chain.set_price(symbol, 58_000_000_000, publish_time_s=publish_time_s)
    case.refused(6008, "StalePrice")


@pytest.mark.parametrize("symbol", ["BTC/USD", "SOL/USD"])
@pytest.mark.parametrize(
    "changes",
    [
        {"price": 0},
        {"price": -1},
        {"price": -(2**63)},
        {"exponent": 7},
        {"exponent": -19},
        {"exponent": 2**31 - 1},
        {"exponent": -(2**31)},
        {"conf": 580_000_001},
        {"conf": 2**64 - 1},
    ],
    ids=str,
)
def test_a_price_that_is_not_positive_out_of_scale_or_uncertain_is_refused(
    case: Case, symbol: str, changes: dict[str, int]
) -> None:
    case.chain.set_price(symbol, 58_000_000_000, **changes)
    case.refused(6009, "PriceDeviationTooHigh")


@pytest.mark.parametrize("symbol", ["BTC/USD", "SOL/USD"])
def test_a_price_that_is_no_number_of_micro_dollars_is_refused(case: Case, symbol: str) -> None:
    case.chain.set_price(symbol, 999, exponent=-9)
    case.refused(6007, "DivisionByZero")
    case.chain.set_price(symbol, 2**62, exponent=6)
    case.refused(6006, "Overflow")


# The instruction's data


def test_data_shorter_than_a_discriminator_is_no_instruction(chain: Any) -> None:
    for length in range(8):
        result = chain.send(Instruction(PROGRAM_ID, bytes(length), []))
        assert (result.code, result.name) == (100, "InstructionMissing")


def test_an_unknown_discriminator_falls_back(chain: Any) -> None:
    for data in (bytes(8), b"\xff" * 64, instructions.discriminator(instructions.Name.LIQUIDATE_FULL)[::-1]):
        result = chain.send(Instruction(PROGRAM_ID, data, []))
        assert (result.code, result.name) == (101, "InstructionFallbackNotFound")


def test_a_truncated_amount_does_not_deserialize(case: Case) -> None:
    data = bytes(case.calls[1].data)
    case.calls = [Instruction(PROGRAM_ID, data[:length], case.calls[1].accounts) for length in range(8, 16)]
    case.refused(102, "InstructionDidNotDeserialize")


def test_the_message_of_every_program_error_is_the_one_in_the_idl(chain: Any, position: MakePosition) -> None:
    import json

    from engine.sandbox.program import idl

    messages = {entry["code"]: entry["msg"] for entry in json.loads(idl())["errors"]}
    seen: dict[int, str] = {}

    def provoke(spoil: Callable[[Case], None], **changes: object) -> None:
        case = Case(chain, position(**changes))
        chain.set_price("SOL/USD", 150_000_000)
        spoil(case)
        result = chain.send(case.calls[-1])
        seen[result.code] = result.message

    owner = chain.payer.pubkey()
    for terms in ((0, 1, 20), (1, 0, 20), (1, 1, 0)):
        size, collateral, leverage = terms
        call = instructions.open_position(
            owner, "BTC/USD", size_e6=size, collateral_e6=collateral, entry_price_e6=1, leverage=leverage
        )
        result = chain.send(call)
        seen[result.code] = result.message
    provoke(lambda case: None, is_liquidated=True)
    provoke(lambda case: chain.set_price("BTC/USD", 60_000_000_000))
    provoke(lambda case: None, symbol="ETH/USD")
    provoke(lambda case: chain.set_price("BTC/USD", 2**62, exponent=6))
    provoke(lambda case: chain.set_price("BTC/USD", 1, exponent=-18))
    provoke(lambda case: chain.set_price("BTC/USD", 1, publish_time_s=0))
    provoke(lambda case: chain.set_price("BTC/USD", 0))
    provoke(lambda case: chain.set_price("BTC/USD", 57_000_000_000))
    case = Case(chain, position(owner=owner))
    result = chain.send(
        instructions.close_position(
            case.position.address, owner, price_account=BTC_USD.account, sol_price_account=SOL_USD.account
        )
    )
    seen[result.code] = result.message
    assert seen == messages
