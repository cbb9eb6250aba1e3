"""The strangers' program uses what it is told to use, to within a few units, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from engine.sandbox.program import load_crowd

CROWD = Pubkey.from_bytes(bytes([3] * 32))


def using(units: int, locked: Pubkey) -> Instruction:
    data = units.to_bytes(4, "little")
    return Instruction(CROWD, data, [AccountMeta(locked, is_signer=False, is_writable=True)])


@pytest.mark.parametrize("units", [0, 1, 5_999, 32_777, 32_778, 500_000, 1_399_000])
def test_it_uses_the_compute_units_that_its_data_says(chain: Any, fund_address: Pubkey, units: int) -> None:
    chain.svm.add_program(CROWD, load_crowd())
    chain.plant_fund(balance=10**9)
    before = chain.svm.get_account(fund_address)
    result = chain.succeed(set_compute_unit_limit(1_400_000), using(units, fund_address))
    assert 230 <= result.compute_units - units <= 260
    assert chain.svm.get_account(fund_address) == before


def test_data_of_another_length_is_refused(chain: Any) -> None:
    chain.svm.add_program(CROWD, load_crowd())
    for data in (b"", b"\0\0\0", bytes(5)):
        assert chain.send(Instruction(CROWD, data, [])).code == 1
