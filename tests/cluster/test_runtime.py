"""Durable nonces, lookup tables, and transactions that cannot be loaded: who lands, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountParams,
    InitializeNonceAccountParams,
    advance_nonce_account,
    create_account,
    initialize_nonce_account,
)
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster import Commitment, TransactionRefused
from engine.sandbox.cluster.ledger.leader import Leader
from engine.sandbox.cluster.transactions.nonces import durable_value
from engine.sandbox.cluster.transactions.wire_transaction import decode_transaction

if TYPE_CHECKING:
    from conftest import Town

SOL = 1_000_000_000
NewKey = Callable[[], Pubkey]
TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")


def value_of(town: Town, nonce: Pubkey) -> Hash:
    account = town.ledger.account(nonce)
    assert account is not None
    return Hash(account.data[40:72])


@pytest.fixture
def nonce(town: Town) -> Pubkey:
    """A nonce account of the town's payer, advanced last in an earlier slot."""
    town.advance()
    account, payer = Keypair(), town.payer.pubkey()
    creation = CreateAccountParams(
        from_pubkey=payer, to_pubkey=account.pubkey(), lamports=2_000_000, space=80, owner=Pubkey.default()
    )
    start = InitializeNonceAccountParams(nonce_pubkey=account.pubkey(), authority=payer)
    expected = durable_value(town.blockhash())
    town.land(create_account(creation), initialize_nonce_account(start), signers=[account])
    assert value_of(town, account.pubkey()) == expected
    town.advance()
    return account.pubkey()


def advancing(town: Town, nonce: Pubkey, authority: Keypair | None = None) -> Instruction:
    key = (authority or town.payer).pubkey()
    return advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=nonce, authorized_pubkey=key))


def test_a_transaction_with_a_nonce_lands_long_after_it_was_signed(
    town: Town, nonce: Pubkey, key: NewKey
) -> None:
    value = value_of(town, nonce)
    transaction = town.sign(advancing(town, nonce), town.pay(to := key(), SOL), blockhash=value)
    town.advance(200)
    newest = town.blockhash()
    town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert town.lamports(to) == SOL
    assert value_of(town, nonce) == durable_value(newest)
    town.advance()
    with pytest.raises(TransactionRefused, match="Blockhash not found"):
        town.ledger.submit(bytes(transaction), skip_preflight=False)


def test_a_nonce_serves_in_preflight_against_the_block_that_made_it(
    town: Town, nonce: Pubkey, key: NewKey
) -> None:
    # One slot ago it was made: that block is closed, and the newest that is confirmed.
    assert town.ledger.bank(Commitment.CONFIRMED).slot == town.ledger.slot - 1
    transaction = town.sign(
        advancing(town, nonce), town.pay(to := key(), SOL), blockhash=value_of(town, nonce)
    )
    Leader(town.ledger).take_in(
        bytes(transaction), skip_preflight=False, preflight_commitment=Commitment.CONFIRMED
    )
    town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert town.lamports(to) == SOL


def test_a_nonce_advances_even_when_its_transaction_fails(town: Town, nonce: Pubkey, key: NewKey) -> None:
    value, before = value_of(town, nonce), town.lamports(town.payer.pubkey())
    failing = town.sign(advancing(town, nonce), town.pay(key(), 10**15), blockhash=value)
    town.ledger.submit(bytes(failing), skip_preflight=True)
    landed = town.ledger.history.get(failing.signatures[0])
    assert landed is not None
    assert landed.fault == {"InstructionError": [1, {"Custom": 1}]}
    assert value_of(town, nonce) == durable_value(town.blockhash()) != value
    assert town.lamports(town.payer.pubkey()) == before - 5_000
    town.advance()
    town.ledger.submit(bytes(failing), skip_preflight=True)
    assert town.ledger.dropped["BlockhashNotFound"] == 1


def test_a_nonce_serves_once_in_a_slot(town: Town, nonce: Pubkey, key: NewKey) -> None:
    first = town.sign(advancing(town, nonce), blockhash=value_of(town, nonce))
    town.ledger.submit(bytes(first), skip_preflight=True)
    second = town.sign(advancing(town, nonce), town.pay(to := key(), SOL), blockhash=value_of(town, nonce))
    town.ledger.submit(bytes(second), skip_preflight=True)
    assert town.ledger.account(to) is None
    town.advance()
    town.ledger.submit(bytes(second), skip_preflight=True)
    assert town.lamports(to) == SOL


def test_a_nonce_needs_its_authority_its_place_and_its_value(town: Town, nonce: Pubkey, key: NewKey) -> None:
    value, stranger = value_of(town, nonce), Keypair()
    town.plant(stranger.pubkey(), SOL)
    to = key()
    wrong = [
        town.sign(advancing(town, nonce, stranger), town.pay(to, SOL), signers=[stranger], blockhash=value),
        town.sign(town.pay(to, SOL), advancing(town, nonce), blockhash=value),
        town.sign(advancing(town, nonce), town.pay(to, SOL), blockhash=Hash.new_unique()),
        town.sign(advancing(town, to), town.pay(to, SOL), blockhash=value),
    ]
    for transaction in wrong:
        town.ledger.submit(bytes(transaction), skip_preflight=True)
    assert town.ledger.account(to) is None
    assert town.ledger.dropped["BlockhashNotFound"] == len(wrong)


def test_an_abandoned_fork_gives_a_nonce_its_value_back(town: Town, nonce: Pubkey, key: NewKey) -> None:
    value = value_of(town, nonce)
    transaction = town.sign(advancing(town, nonce), town.pay(to := key(), SOL), blockhash=value)
    town.ledger.submit(bytes(transaction), skip_preflight=True)
    assert town.lamports(to) == SOL
    town.ledger.abandon(town.ledger.slot)
    assert value_of(town, nonce) == value
    town.ledger.submit(bytes(transaction), skip_preflight=False)
    assert town.lamports(to) == SOL


# --- transactions that cannot be loaded ---


def test_a_missing_program_costs_the_fee_and_the_priority_fee_and_nothing_else(
    town: Town, key: NewKey
) -> None:
    town.advance()
    before, to = town.lamports(town.payer.pubkey()), key()
    budget = [set_compute_unit_limit(1_000), set_compute_unit_price(2_000_000)]
    transaction = town.sign(*budget, town.pay(to, SOL), Instruction(key(), b"", []))
    with pytest.raises(TransactionRefused, match="Attempt to load a program that does not exist"):
        town.ledger.submit(bytes(transaction), skip_preflight=False)
    town.ledger.submit(bytes(transaction), skip_preflight=True)
    landed = town.ledger.history.get(transaction.signatures[0])
    assert landed is not None
    assert (landed.fault, landed.fee_lamports) == ("ProgramAccountNotFound", 7_000)
    assert (landed.metadata.logs(), landed.metadata.compute_units_consumed()) == ([], 0)
    assert town.lamports(town.payer.pubkey()) == before - 7_000
    assert town.ledger.account(to) is None
    assert landed.pre_balances[0] - landed.post_balances[0] == 7_000


def test_an_account_that_is_no_program_costs_the_fee_too(town: Town, key: NewKey) -> None:
    town.advance()
    town.plant(nobody := key(), SOL)
    landed = town.land(Instruction(nobody, b"", []))
    record = town.ledger.history.get(landed.signatures[0])
    assert record is not None
    assert (record.fault, record.fee_lamports) == ("InvalidProgramForExecution", 5_000)


def test_who_loads_more_than_it_allowed_itself_pays_for_nothing(town: Town, key: NewKey) -> None:
    town.advance()
    town.plant(big := key(), SOL, bytes(5_000), key())
    payer_and_programs = _loaded_bytes(town, [town.payer.pubkey(), Pubkey.default(), COMPUTE_BUDGET])
    for limit, fault in ((payer_and_programs + 5_064, None), (payer_and_programs + 5_063, _TOO_MUCH)):
        allowing = Instruction(COMPUTE_BUDGET, b"\x04" + limit.to_bytes(4, "little"), [])
        paying = town.pay(town.payer.pubkey(), 1)
        naming = Instruction(
            paying.program_id, paying.data, [*paying.accounts, AccountMeta(big, False, False)]
        )
        landed = town.land(allowing, naming)
        record = town.ledger.history.get(landed.signatures[0])
        assert record is not None
        assert record.fault == fault
    simulated = town.ledger.simulate(
        decode_transaction(bytes(landed)), town.ledger.bank(Commitment.PROCESSED), replayable=True
    )
    assert simulated.fault == _TOO_MUCH


_TOO_MUCH = "MaxLoadedAccountsDataSizeExceeded"


def _loaded_bytes(town: Town, addresses: list[Pubkey]) -> int:
    accounts = [town.ledger.account(address) for address in addresses]
    return sum(64 + len(account.data) for account in accounts if account is not None)


@pytest.mark.parametrize(
    ("lamports", "owned", "fault"),
    [
        (None, False, "AccountNotFound"),
        (4_999, False, "InsufficientFundsForFee"),
        (SOL, True, "InvalidAccountForFee"),
        # Rent-exempt before the fee of 5,000 and no more so after it: 890,880 lamports are the least.
        (895_879, False, {"InsufficientFundsForRent": {"account_index": 0}}),
        (895_880, False, None),
        (5_000, False, None),
    ],
)
def test_who_can_pay_a_fee(town: Town, key: NewKey, lamports: int | None, owned: bool, fault: object) -> None:
    town.advance()
    payer = Keypair()
    if lamports is not None:
        town.plant(payer.pubkey(), lamports, owner=key() if owned else None)
    transaction = town.sign(payer=payer)
    simulated = town.ledger.simulate(
        decode_transaction(bytes(transaction)), town.ledger.bank(Commitment.PROCESSED)
    )
    assert simulated.fault == fault
    town.ledger.submit(bytes(transaction), skip_preflight=True)
    assert (transaction.signatures[0] in town.ledger.history) is (fault is None)
    assert town.lamports(payer.pubkey()) == (lamports or 0) - (5_000 if fault is None else 0)


@pytest.mark.parametrize(("accounts", "fault"), [(64, None), (65, "TooManyAccountLocks")])
def test_a_transaction_may_lock_64_accounts(town: Town, key: NewKey, accounts: int, fault: object) -> None:
    town.advance()
    table = _planted_table(town, [key() for _ in range(accounts - 2)])
    named = [AccountMeta(address, False, False) for address in table.addresses]
    paying = town.pay(town.payer.pubkey(), 1)
    wide = Instruction(paying.program_id, paying.data, [*paying.accounts, *named])
    town.advance()
    simulated = town.ledger.simulate(
        decode_transaction(bytes(_with_table(town, table, wide))),
        town.ledger.bank(Commitment.PROCESSED),
    )
    assert simulated.fault == fault


# --- lookup tables ---


def _planted_table(town: Town, addresses: list[Pubkey]) -> AddressLookupTableAccount:
    """A table as the program would have left it, whose addresses were all added in the open slot."""
    table = Keypair().pubkey()
    header = (1).to_bytes(4, "little") + b"\xff" * 8 + town.ledger.slot.to_bytes(8, "little")
    header += b"\0" + b"\1" + bytes(town.payer.pubkey()) + bytes(2)
    data = header + b"".join(map(bytes, addresses))
    town.plant(table, town.ledger.rent_exempt_minimum_lamports(len(data)), data, TABLES)
    return AddressLookupTableAccount(table, addresses)


def _with_table(town: Town, table: AddressLookupTableAccount, *calls: Instruction) -> VersionedTransaction:
    message = MessageV0.try_compile(town.payer.pubkey(), list(calls), [table], town.blockhash())
    return VersionedTransaction(message, [town.payer])


def test_an_address_of_a_table_can_be_used_from_the_slot_after_it_was_added(town: Town, key: NewKey) -> None:
    town.advance()
    table = _planted_table(town, [to := key()])
    leader = Leader(town.ledger)
    early = _with_table(town, table, town.pay(to, SOL))
    with pytest.raises(TransactionRefused) as refusal:
        leader.take_in(bytes(early), skip_preflight=True)
    assert refusal.value.code == -32602
    assert refusal.value.message == (
        "invalid transaction: Transaction address table lookup uses an invalid index"
    )
    town.ledger.submit(bytes(early), skip_preflight=True)
    assert town.ledger.dropped["InvalidAddressLookupTableIndex"] == 1
    town.advance()
    leader.take_in(bytes(early), skip_preflight=False)
    leader.work()
    assert town.lamports(to) == SOL
    landed = town.ledger.history.get(early.signatures[0])
    assert landed is not None
    assert landed.accounts.loaded_writable == [to]


def test_a_table_can_be_used_until_its_deactivation_is_512_blocks_old(town: Town, key: NewKey) -> None:
    town.advance()
    table = _planted_table(town, [to := key()])
    town.advance()
    deactivating = Instruction(
        TABLES,
        (3).to_bytes(4, "little"),
        [AccountMeta(table.key, False, True), AccountMeta(town.payer.pubkey(), True, False)],
    )
    town.land(deactivating)
    town.advance(512)
    used = _with_table(town, table, town.pay(to, SOL))
    town.ledger.submit(bytes(used), skip_preflight=False)
    assert town.lamports(to) == SOL
    town.advance()
    late = _with_table(town, table, town.pay(to, 2 * SOL))
    with pytest.raises(TransactionRefused, match="loads an address table account that doesn't exist"):
        town.ledger.submit(bytes(late), skip_preflight=False)


def test_tables_that_are_none_are_refused_when_a_transaction_is_taken_in(town: Town, key: NewKey) -> None:
    town.advance()
    leader, to = Leader(town.ledger), key()
    missing = AddressLookupTableAccount(key(), [to])
    foreign = AddressLookupTableAccount(key(), [to])
    town.plant(foreign.key, SOL, bytes(88))
    broken = AddressLookupTableAccount(key(), [to])
    town.plant(broken.key, SOL, bytes(88), TABLES)
    for table, words in (
        (missing, "loads an address table account that doesn't exist"),
        (foreign, "loads an address table account with an invalid owner"),
        (broken, "loads an address table account with invalid data"),
    ):
        transaction = _with_table(town, table, town.pay(to, SOL))
        with pytest.raises(TransactionRefused, match=words):
            leader.take_in(bytes(transaction), skip_preflight=True)
