"""Instructions: the published discriminators, account lists and argument bytes; liquidations read back."""

from __future__ import annotations

from typing import Any

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from engine.protocol import instructions
from engine.protocol.addresses import (
    BTC_USD,
    ETH_USD,
    PROGRAM_ID,
    SOL_USD,
    SYSTEM_PROGRAM,
    insurance_fund_address,
    position_address,
)
from engine.protocol.instructions import LiquidationCall, Name

SIGNER = Pubkey.from_bytes(bytes([5] * 32))
POSITION = Pubkey.from_bytes(bytes([6] * 32))
FUND = insurance_fund_address()
PUBLISHED = {
    Name.OPEN_POSITION: [135, 128, 47, 77, 15, 152, 240, 49],
    Name.CREATE_POSITION: [48, 215, 197, 153, 96, 203, 180, 133],
    Name.ADD_COLLATERAL: [127, 82, 121, 42, 161, 176, 249, 206],
    Name.CLOSE_POSITION: [123, 134, 81, 0, 49, 68, 98, 98],
    Name.INITIALIZE_INSURANCE_FUND: [2, 239, 39, 87, 50, 28, 108, 12],
    Name.CONTRIBUTE_TO_INSURANCE: [236, 217, 11, 34, 46, 102, 74, 234],
    Name.LIQUIDATE_PARTIAL: [225, 90, 199, 26, 130, 43, 146, 157],
    Name.LIQUIDATE_FULL: [184, 122, 137, 225, 224, 51, 220, 170],
}
TERMS: dict[str, Any] = {
    "size_e6": 0x0102030405060708,
    "collateral_e6": 2,
    "entry_price_e6": 3,
    "leverage": 0x0203,
}
TERMS_BYTES = bytes([8, 7, 6, 5, 4, 3, 2, 1]) + bytes([2] + [0] * 7) + bytes([3] + [0] * 7) + bytes([3, 2])
SYMBOL_BYTES = bytes([7, 0, 0, 0]) + b"BTC/USD"


def metas(call: Instruction) -> list[tuple[Pubkey, bool, bool]]:
    """(address, writable, signer) of every account."""
    return [(meta.pubkey, meta.is_writable, meta.is_signer) for meta in call.accounts]


def liquidation(amount_e6: int | None) -> Instruction:
    return instructions.liquidate(
        POSITION,
        SIGNER,
        fund=FUND,
        price_account=BTC_USD.account,
        sol_price_account=SOL_USD.account,
        amount_e6=amount_e6,
    )


def test_the_addresses_are_the_published_ones() -> None:
    assert str(PROGRAM_ID) == "HCJaVaM9GEH4nYoX6UquxWXroXJyjSLp2LLKCa1gg5NJ"
    assert str(FUND) == "9K3sRRPZRxfP8ECxkW7mPZ3GiMLbW1PWU2HuBn8seCHS"
    assert str(SOL_USD.account) == "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE"
    assert str(BTC_USD.account) == "4cSM2e6rvbGQUFiJbqytoVMi5GgghSMr8LwVrT9VPSPo"
    assert str(ETH_USD.account) == "42amVS4KgzR9rA28tkVYqVXjq9Qa8dcZQMbH5EYFX6XC"


@pytest.mark.parametrize("name", list(Name))
def test_discriminators_are_the_published_ones(name: Name) -> None:
    assert list(instructions.discriminator(name)) == PUBLISHED[name]
    assert instructions.instruction_name(bytes(PUBLISHED[name]) + b"more") is name


def test_an_unknown_discriminator_has_no_name() -> None:
    assert instructions.instruction_name(bytes(8)) is None
    assert instructions.instruction_name(bytes(PUBLISHED[Name.LIQUIDATE_FULL])[:7]) is None


def test_open_position_carries_its_terms_and_accounts() -> None:
    call = instructions.open_position(SIGNER, "BTC/USD", **TERMS)
    assert bytes(call.data) == bytes(PUBLISHED[Name.OPEN_POSITION]) + SYMBOL_BYTES + TERMS_BYTES
    assert metas(call) == [
        (position_address(SIGNER, "BTC/USD"), True, False),
        (SIGNER, True, True),
        (SYSTEM_PROGRAM, False, False),
    ]


@pytest.mark.parametrize("is_long", [True, False])
def test_create_position_carries_its_direction_too(is_long: bool) -> None:
    call = instructions.create_position(POSITION, SIGNER, "BTC/USD", **TERMS, is_long=is_long)
    expected = bytes(PUBLISHED[Name.CREATE_POSITION]) + SYMBOL_BYTES + TERMS_BYTES + bytes([is_long])
    assert bytes(call.data) == expected
    assert metas(call) == [(POSITION, True, True), (SIGNER, True, True), (SYSTEM_PROGRAM, False, False)]


@pytest.mark.parametrize("amount_e6", [0, 1, 2**64 - 1])
def test_added_collateral_names_the_position_and_its_owner(amount_e6: int) -> None:
    call = instructions.add_collateral(POSITION, SIGNER, amount_e6=amount_e6)
    assert bytes(call.data) == bytes(PUBLISHED[Name.ADD_COLLATERAL]) + amount_e6.to_bytes(8, "little")
    assert metas(call) == [(POSITION, True, False), (SIGNER, False, True)]


def test_a_closing_names_the_owner_who_is_paid_and_then_both_prices() -> None:
    call = instructions.close_position(
        POSITION, SIGNER, price_account=BTC_USD.account, sol_price_account=SOL_USD.account
    )
    assert bytes(call.data) == bytes(PUBLISHED[Name.CLOSE_POSITION])
    assert metas(call) == [
        (POSITION, True, False),
        (SIGNER, True, True),
        (BTC_USD.account, False, False),
        (SOL_USD.account, False, False),
    ]
    assert instructions.read_liquidation(bytes(call.data), [POSITION]) is None


def test_the_funds_instructions_name_the_fund_the_signer_and_the_system_program() -> None:
    expected = [(FUND, True, False), (SIGNER, True, True), (SYSTEM_PROGRAM, False, False)]
    created = instructions.initialize_insurance_fund(SIGNER)
    assert (bytes(created.data), metas(created)) == (
        bytes(PUBLISHED[Name.INITIALIZE_INSURANCE_FUND]),
        expected,
    )
    contributed = instructions.contribute_to_insurance(SIGNER, 10**9)
    assert bytes(contributed.data) == bytes(PUBLISHED[Name.CONTRIBUTE_TO_INSURANCE]) + (10**9).to_bytes(
        8, "little"
    )
    assert metas(contributed) == expected


@pytest.mark.parametrize("amount_e6", [None, 0, 1, 2**64 - 1])
def test_a_liquidation_names_five_accounts_and_reads_back(amount_e6: int | None) -> None:
    call = liquidation(amount_e6)
    name = Name.LIQUIDATE_FULL if amount_e6 is None else Name.LIQUIDATE_PARTIAL
    arguments = b"" if amount_e6 is None else amount_e6.to_bytes(8, "little")
    assert bytes(call.data) == bytes(PUBLISHED[name]) + arguments
    assert metas(call) == [
        (POSITION, True, False),
        (FUND, True, False),
        (SIGNER, True, True),
        (BTC_USD.account, False, False),
        (SOL_USD.account, False, False),
    ]
    read = instructions.read_liquidation(bytes(call.data), [meta.pubkey for meta in call.accounts])
    assert read == LiquidationCall(POSITION, amount_e6)


def test_what_is_no_liquidation_does_not_read_as_one() -> None:
    partial = bytes(liquidation(5).data)
    assert instructions.read_liquidation(partial[:-1], [POSITION]) is None
    assert instructions.read_liquidation(partial, []) is None
    contributed = instructions.contribute_to_insurance(SIGNER, 5)
    assert instructions.read_liquidation(bytes(contributed.data), [FUND]) is None
