"""The IDL describes the program as it is: an Anchor client that reads it speaks the engine's own bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from solders.pubkey import Pubkey

from engine.domain import Generation, Position, Side
from engine.protocol import accounts, addresses, events, instructions
from engine.protocol.program_errors import ProgramError
from engine.sandbox.program import idl

IDL: dict[str, Any] = json.loads(idl())
TYPES = {entry["name"]: entry["type"]["fields"] for entry in IDL["types"]}
CALLS = {entry["name"]: entry for entry in IDL["instructions"]}
WIDTHS = {"u8": 1, "u16": 2, "u64": 8, "i64": 8}


def read_fields(fields: list[dict[str, Any]], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Decode Borsh as the IDL describes it; returns the values and the bytes left over."""
    values: dict[str, Any] = {}
    for field in fields:
        kind = field["type"]
        if kind == "pubkey":
            value, data = Pubkey.from_bytes(data[:32]), data[32:]
        elif kind == "string":
            end = 4 + int.from_bytes(data[:4], "little")
            value, data = data[4:end].decode(), data[end:]
        elif kind == "bool":
            value, data = {0: False, 1: True}[data[0]], data[1:]
        else:
            width = WIDTHS[kind]
            value, data = int.from_bytes(data[:width], "little", signed=kind == "i64"), data[width:]
        values[field["name"]] = value
    return values, data


def test_the_address_is_the_default_program_id() -> None:
    assert IDL["address"] == str(addresses.PROGRAM_ID)
    assert IDL["metadata"]["spec"] == "0.1.0"


def test_every_instruction_is_described_with_its_discriminator() -> None:
    assert {name: bytes(call["discriminator"]) for name, call in CALLS.items()} == {
        name.value: instructions.discriminator(name) for name in instructions.Name
    }


def expected_calls() -> dict[str, tuple[Any, dict[str, Any]]]:
    signer = Pubkey.from_bytes(bytes([5] * 32))
    other = Pubkey.from_bytes(bytes([6] * 32))
    terms = {"size_e6": 1, "collateral_e6": 2, "entry_price_e6": 3, "leverage": 4}
    read = {"symbol": "BTC/USD", "size": 1, "collateral": 2, "entry_price": 3, "leverage": 4}
    liquidation: dict[str, Any] = {
        "fund": addresses.insurance_fund_address(),
        "price_account": addresses.SOL_USD.account,
        "sol_price_account": addresses.SOL_USD.account,
    }
    return {
        "open_position": (instructions.open_position(signer, "BTC/USD", **terms), read),
        "create_position": (
            instructions.create_position(other, signer, "BTC/USD", **terms, is_long=True),
            read | {"is_long": True},
        ),
        "add_collateral": (instructions.add_collateral(other, signer, amount_e6=66), {"amount": 66}),
        "close_position": (
            instructions.close_position(
                other,
                signer,
                price_account=addresses.BTC_USD.account,
                sol_price_account=addresses.SOL_USD.account,
            ),
            {},
        ),
        "initialize_insurance_fund": (instructions.initialize_insurance_fund(signer), {}),
        "contribute_to_insurance": (instructions.contribute_to_insurance(signer, 77), {"amount": 77}),
        "liquidate_partial": (
            instructions.liquidate(other, signer, amount_e6=88, **liquidation),
            {"liquidation_amount": 88},
        ),
        "liquidate_full": (instructions.liquidate(other, signer, amount_e6=None, **liquidation), {}),
    }


@pytest.mark.parametrize("name", list(CALLS))
def test_an_instruction_of_the_engine_reads_back_through_the_idl(name: str) -> None:
    call, expected = expected_calls()[name]
    values, left = read_fields(CALLS[name]["args"], call.data[8:])
    assert (values, left) == (expected, b"")
    described = CALLS[name]["accounts"]
    for account, meta in zip(described, call.accounts, strict=False):
        assert account.get("writable", False) == meta.is_writable
        assert account.get("signer", False) == meta.is_signer
        if "address" in account:
            assert account["address"] == str(meta.pubkey)
        if "pda" in account:
            assert derive(account["pda"]["seeds"], described, call, values) == meta.pubkey
    remaining = 2 if name.startswith("liquidate") or name == "close_position" else 0
    assert len(call.accounts) == len(described) + remaining


def derive(
    seeds: list[dict[str, Any]], described: list[dict[str, Any]], call: Any, values: dict[str, Any]
) -> Pubkey:
    by_name = {account["name"]: meta.pubkey for account, meta in zip(described, call.accounts, strict=False)}
    sources: dict[str, Callable[[dict[str, Any]], bytes]] = {
        "const": lambda seed: bytes(seed["value"]),
        "account": lambda seed: bytes(by_name[seed["path"]]),
        "arg": lambda seed: values[seed["path"]].encode(),
    }
    raw = [sources[seed["kind"]](seed) for seed in seeds]
    return Pubkey.find_program_address(raw, addresses.PROGRAM_ID)[0]


@pytest.mark.parametrize(
    ("generation", "type_name"),
    [
        (Generation.DOCUMENTED, "DocumentedPosition"),
        (Generation.DOCUMENTED, "Position"),
        (Generation.DEPLOYED, "Position"),
    ],
)
def test_a_position_account_reads_back_through_the_idl(
    position: Callable[..., Position], generation: Generation, type_name: str
) -> None:
    side = Side.SHORT if generation is Generation.DOCUMENTED else Side.LONG
    planted = position(generation=generation, side=side, is_liquidated=False)
    raw = accounts.encode_position(planted)
    values, left = read_fields(TYPES[type_name], raw[8:])
    assert values["owner"] == planted.owner
    assert values["symbol"] == planted.symbol
    numbers = [
        values[name] for name in ("size", "collateral", "entry_price", "leverage", "maintenance_margin")
    ]
    assert numbers == [
        planted.size_e6,
        planted.collateral_e6,
        planted.entry_price_e6,
        planted.leverage,
        planted.maintenance_margin_e6,
    ]
    if type_name == "DocumentedPosition":
        assert (values["is_long"], values["is_liquidated"]) == (False, False)
        assert values["created_at"] == planted.created_at_s
        assert left.strip(b"\0") == b""
    if generation is Generation.DEPLOYED:
        assert left == b""


def test_the_first_position_type_reads_either_generation_of_a_mixed_program() -> None:
    """Clients decode an account by the first type of its discriminator, and pass over bytes behind it."""
    named = [entry["name"] for entry in IDL["accounts"]]
    assert named.index("Position") < named.index("DocumentedPosition")
    assert TYPES["DocumentedPosition"][: len(TYPES["Position"])] == TYPES["Position"]


def test_the_fund_account_reads_back_through_the_idl() -> None:
    authority = Pubkey.from_bytes(bytes([3] * 32))
    raw = accounts.FUND_DISCRIMINATOR + bytes(authority)
    raw += b"".join(number.to_bytes(8, "little") for number in (1, 2, 3, 4))
    values, left = read_fields(TYPES["InsuranceFund"], raw[8:])
    state = accounts.decode_fund(raw, 0)
    assert left == b""
    assert list(values.values()) == [
        state.authority,
        state.balance_lamports,
        state.total_contributions_lamports,
        state.total_bad_debt_covered_lamports,
        state.utilization_ratio_bps,
    ]


def test_accounts_and_events_carry_their_discriminators() -> None:
    assert [(entry["name"], bytes(entry["discriminator"])) for entry in IDL["accounts"]] == [
        ("Position", accounts.POSITION_DISCRIMINATOR),
        ("DocumentedPosition", accounts.POSITION_DISCRIMINATOR),
        ("InsuranceFund", accounts.FUND_DISCRIMINATOR),
    ]
    assert [(entry["name"], bytes(entry["discriminator"])) for entry in IDL["events"]] == [
        ("LiquidationEvent", events.LIQUIDATION_DISCRIMINATOR),
        ("ContributionEvent", events.CONTRIBUTION_DISCRIMINATOR),
        ("CollateralAddedEvent", events.COLLATERAL_ADDED_DISCRIMINATOR),
        ("PositionClosedEvent", events.POSITION_CLOSED_DISCRIMINATOR),
    ]


def test_every_error_is_described_by_number_and_name() -> None:
    described = [(entry["code"], entry["name"]) for entry in IDL["errors"]]
    assert described == [(error.value, error.name) for error in ProgramError]
    assert all(entry["msg"] and not entry["msg"].endswith(".") for entry in IDL["errors"])
