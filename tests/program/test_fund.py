"""The insurance fund: its creation, contributions, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.rent import Rent

from engine.protocol import instructions
from engine.protocol.addresses import PROGRAM_ID, SYSTEM_PROGRAM, insurance_fund_address
from engine.protocol.events import ContributionEvent

NOW_S = 1_760_000_000


def contribution(chain: Any, lamports: int) -> Instruction:
    return instructions.contribute_to_insurance(chain.payer.pubkey(), lamports)


def replaced(call: Instruction, index: int, meta: AccountMeta) -> Instruction:
    metas = list(call.accounts)
    metas[index] = meta
    return Instruction(call.program_id, bytes(call.data), metas)


def test_the_fund_begins_empty_with_its_rent(chain: Any, fund_address: Pubkey) -> None:
    result = chain.succeed(instructions.initialize_insurance_fund(chain.payer.pubkey()))
    assert "Program log: Instruction: InitializeInsuranceFund" in result.logs
    fund = chain.fund()
    assert fund.authority == chain.payer.pubkey()
    assert (fund.balance_lamports, fund.total_contributions_lamports) == (0, 0)
    account = chain.svm.get_account(fund_address)
    assert (account.owner, len(account.data), account.data[72]) == (PROGRAM_ID, 73, 255)
    assert account.lamports == chain.rent(73)


def test_lamports_found_at_the_address_open_the_balance(chain: Any, fund_address: Pubkey) -> None:
    chain.svm.set_account(fund_address, Account(5_000_000, b"", SYSTEM_PROGRAM))
    chain.succeed(instructions.initialize_insurance_fund(chain.payer.pubkey()))
    assert chain.fund().balance_lamports == 5_000_000 - chain.rent(73)
    assert chain.lamports(fund_address) == 5_000_000


@pytest.mark.parametrize(
    "rent", [Rent(3480, 2.0), Rent(6960, 1.0), Rent(1000, 0.5), Rent(777, 1.5), Rent(3, 3.3)]
)
def test_the_rent_is_computed_as_the_runtime_does(chain: Any, fund_address: Pubkey, rent: Rent) -> None:
    chain.svm.set_rent(rent)
    expected = int((128 + 73) * rent.lamports_per_byte * rent.exemption_threshold)
    chain.send(instructions.initialize_insurance_fund(chain.payer.pubkey()))
    assert chain.lamports(fund_address) == expected


def test_a_second_fund_is_refused_by_the_system_program(chain: Any) -> None:
    call = instructions.initialize_insurance_fund(chain.payer.pubkey())
    chain.succeed(call)
    result = chain.send(call)
    assert result.code == 0
    assert any("already in use" in line for line in result.logs)


@pytest.mark.parametrize("size", [72, 73])
def test_a_contribution_moves_lamports_and_is_reported(chain: Any, fund_address: Pubkey, size: int) -> None:
    chain.plant_fund(balance=300, contributions=4_000_000_000, covered=1_000_000_000, size=size)
    payer = chain.payer.pubkey()
    before = chain.lamports(payer)
    result = chain.succeed(contribution(chain, 1_000_000_000))
    fund = chain.fund()
    assert fund.balance_lamports == 1_000_000_300
    assert fund.total_contributions_lamports == 5_000_000_000
    assert fund.total_bad_debt_covered_lamports == 1_000_000_000
    assert fund.utilization_ratio_bps == 2000
    assert chain.lamports(fund_address) == chain.rent(size) + 1_000_000_300
    assert before - chain.lamports(payer) == 1_000_000_000 + result.fee_lamports
    assert result.events == [ContributionEvent(payer, 1_000_000_000, 1_000_000_300, NOW_S)]


def test_a_contribution_beyond_ones_means_fails_and_changes_nothing(chain: Any) -> None:
    chain.plant_fund()
    before = chain.fund()
    result = chain.send(contribution(chain, 10**15))
    assert result.code == 1
    assert chain.fund() == before


@pytest.mark.parametrize(
    "planted",
    [{"balance": 2**64 - 5_000}, {"contributions": 2**64 - 1}, {"contributions": 1, "covered": 2**64 - 1}],
)
def test_a_ledger_that_would_not_fit_is_refused(chain: Any, planted: dict[str, int]) -> None:
    chain.plant_fund(**{key: value for key, value in planted.items() if key != "balance"})
    if "balance" in planted:
        data = bytearray(chain.svm.get_account(insurance_fund_address()).data)
        data[40:48] = planted["balance"].to_bytes(8, "little")
        chain.plant(insurance_fund_address(), bytes(data))
    result = chain.send(contribution(chain, 5_000))
    assert (result.code, result.name) == (6006, "Overflow")


def test_truncated_arguments_do_not_deserialize(chain: Any) -> None:
    chain.plant_fund()
    call = contribution(chain, 5)
    for length in range(8, 16):
        short = Instruction(PROGRAM_ID, bytes(call.data)[:length], call.accounts)
        assert chain.send(short).code == 102


@pytest.mark.parametrize("kind", ["initialize", "contribute"])
def test_signer_and_system_program_are_checked(chain: Any, fund_address: Pubkey, kind: str) -> None:
    stranger = Keypair()
    chain.svm.airdrop(stranger.pubkey(), 10**10)
    if kind == "initialize":
        call, name = instructions.initialize_insurance_fund(stranger.pubkey()), "authority"
    else:
        chain.plant_fund()
        call, name = instructions.contribute_to_insurance(stranger.pubkey(), 5), "contributor"
    unsigned = replaced(call, 1, AccountMeta(stranger.pubkey(), is_signer=False, is_writable=True))
    result = chain.send(unsigned)
    assert (result.code, result.account) == (3010, name)
    read_only = replaced(call, 1, AccountMeta(stranger.pubkey(), is_signer=True, is_writable=False))
    result = chain.send(read_only, signers=(stranger,))
    assert (result.code, result.account) == (2000, name)
    read_only = replaced(call, 0, AccountMeta(fund_address, is_signer=False, is_writable=False))
    result = chain.send(read_only, signers=(stranger,))
    assert (result.code, result.account) == (2000, "insurance_fund")
    wrong = replaced(call, 2, AccountMeta(PROGRAM_ID, is_signer=False, is_writable=False))
    result = chain.send(wrong, signers=(stranger,))
    assert (result.code, result.account) == (3008, "system_program")
    short = Instruction(PROGRAM_ID, bytes(call.data), call.accounts[:2])
    assert chain.send(short, signers=(stranger,)).code == 3005


def test_the_fund_itself_cannot_stand_in_for_a_contributor(chain: Any, fund_address: Pubkey) -> None:
    chain.plant_fund(balance=10**9)
    call = replaced(contribution(chain, 5), 1, AccountMeta(fund_address, is_signer=False, is_writable=True))
    result = chain.send(call)
    assert (result.code, result.account) == (3010, "contributor")


def test_a_contribution_to_an_account_that_is_not_the_fund_is_refused(
    chain: Any, fund_address: Pubkey
) -> None:
    call = contribution(chain, 5)
    result = chain.send(call)
    assert (result.code, result.account) == (3012, "insurance_fund")
    chain.plant(fund_address, bytes(73), owner=Pubkey.from_bytes(bytes([1] * 32)))
    assert chain.send(call).code == 3007
    chain.plant(fund_address, b"")
    assert chain.send(call).code == 3001
    chain.plant(fund_address, bytes(73))
    assert chain.send(call).code == 3002
    chain.plant_fund()
    planted = chain.svm.get_account(fund_address).data
    chain.plant(fund_address, planted[:71])
    assert chain.send(call).code == 3003
    impostor = Pubkey.from_bytes(bytes([7] * 32))
    chain.plant_fund()
    chain.plant(impostor, planted)
    result = chain.send(replaced(call, 0, AccountMeta(impostor, is_signer=False, is_writable=True)))
    assert (result.code, result.account) == (2006, "insurance_fund")


def test_a_fund_address_is_checked_before_it_is_created(chain: Any) -> None:
    impostor = Keypair()
    call = instructions.initialize_insurance_fund(chain.payer.pubkey())
    call = replaced(call, 0, AccountMeta(impostor.pubkey(), is_signer=True, is_writable=True))
    result = chain.send(call, signers=(impostor,))
    assert (result.code, result.account) == (2006, "insurance_fund")
