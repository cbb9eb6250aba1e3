"""The runtime: which transactions may run in a bank, and what running one does, by a validator's rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from solders.account import Account
from solders.pubkey import Pubkey

from engine.sandbox.cluster.blocks.accounts import AccountStates
from engine.sandbox.cluster.blocks.banks import Bank
from engine.sandbox.cluster.blocks.blockhashes import BlockhashTable
from engine.sandbox.cluster.blocks.history import TransactionHistory
from engine.sandbox.cluster.ledger.machine import Execution, Machine
from engine.sandbox.cluster.transactions.compute_budget import ComputeBudget, compute_budget_of
from engine.sandbox.cluster.transactions.nonces import (
    accepts_nonce,
    durable_value,
    holds,
    sets_nonce,
    with_value,
)
from engine.sandbox.cluster.transactions.token_balances import TokenBalance, token_balances
from engine.sandbox.cluster.transactions.transaction_accounts import TransactionAccounts, accounts_of
from engine.sandbox.cluster.transactions.transaction_faults import (
    ALREADY_PROCESSED,
    BLOCKHASH_NOT_FOUND,
    SIGNATURE_FAILURE,
    Fault,
)
from engine.sandbox.cluster.transactions.transaction_loading import INVALID_PROGRAM, program_fault, size_fault
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction

_SYSVAR_OWNER = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
AccountOf = Callable[[Pubkey], Account | None]


@dataclass(frozen=True, slots=True)
class Run:
    """What running a transaction in the open slot did. `before` follows `accounts.every`.

    `after` has every account that it might write.
    """

    accounts: TransactionAccounts
    budget: ComputeBudget
    execution: Execution
    before: list[Account | None]
    after: dict[Pubkey, Account | None]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]


@dataclass(frozen=True, slots=True)
class Simulation:
    """The outcome of a simulation against one bank; `execution` is None when it was refused unrun."""

    bank: Bank
    fault: Fault | None
    execution: Execution | None


class Runtime:
    """Runs transactions on the machine, in the open bank for good and in any other for trial."""

    def __init__(
        self,
        machine: Machine,
        states: AccountStates,
        blockhashes: BlockhashTable,
        history: TransactionHistory,
    ) -> None:
        self._machine = machine
        self._states = states
        self._blockhashes = blockhashes
        self._history = history

    def refusal(
        self, transaction: WireTransaction, bank: Bank, *, signatures_checked: bool = True
    ) -> Fault | None:
        """Why a transaction cannot enter a bank whatever it does, in the order in which a node looks."""
        message = transaction.message
        if (
            self._blockhashes.known_to(bank, message.recent_blockhash) is None
            and self._nonce_of(transaction, bank) is None
        ):
            return BLOCKHASH_NOT_FOUND
        landed_slot = self._history.slot_of(transaction.signature)
        if landed_slot is not None and landed_slot <= bank.slot:
            return ALREADY_PROCESSED
        if not signatures_checked and not transaction.has_valid_signatures():
            return SIGNATURE_FAILURE
        return None

    def run(self, transaction: WireTransaction, bank: Bank, forced_fault: Fault | None) -> Run | Fault:
        """Run one in the open bank; a fault when the payer cannot pay for it, or it makes no sense at all.

        What cannot be loaded, and what a `forced_fault` befalls, pays its fee and does nothing else.
        """
        message, latest = transaction.message, self._states.latest
        accounts = accounts_of(message, latest)
        every, budget = accounts.every, compute_budget_of(message, accounts.static)
        before = [latest(address) for address in every]
        pre_tokens = token_balances(every, latest)
        nonce = None
        if self._blockhashes.known_to(bank, message.recent_blockhash) is None:
            nonce = self._nonce_of(transaction, bank)
        fault = forced_fault or _size_fault(transaction, accounts, budget, latest)
        if fault is None:
            execution = self._machine.execute(transaction.signed)
            if execution.fault == INVALID_PROGRAM and not execution.executed:
                fault = program_fault(message, every, latest)
        if fault is not None:
            execution = self._machine.execute_as_failed(transaction, fault)
        if not execution.executed:
            assert execution.fault is not None, "what was not executed has a fault"
            return execution.fault
        if nonce is not None or sets_nonce(message):
            self._settle_nonces(transaction, bank, accounts, nonce, execution)
        after = {address: latest(address) for address in accounts.writable}
        post_tokens = token_balances(every, latest)
        return Run(accounts, budget, execution, before, after, pre_tokens, post_tokens)

    def simulate(self, transaction: WireTransaction, bank: Bank, open_bank: Bank) -> Simulation:
        """Run a transaction against a bank, changing nothing and checking neither age nor signatures."""
        slot = bank.slot
        account_of = self._states.latest if slot == open_bank.slot else self._at(slot)
        accounts = accounts_of(transaction.message, account_of)
        budget = compute_budget_of(transaction.message, accounts.static)
        fault = _size_fault(transaction, accounts, budget, account_of)
        if fault is not None:
            return Simulation(bank, fault, None)
        execution = self._try(transaction, accounts, bank, open_bank)
        fault = execution.fault
        if fault == INVALID_PROGRAM and not execution.executed:
            fault = program_fault(transaction.message, accounts.every, account_of) or fault
        return Simulation(bank, fault, execution)

    def _try(
        self, transaction: WireTransaction, accounts: TransactionAccounts, bank: Bank, open_bank: Bank
    ) -> Execution:
        if bank.slot == open_bank.slot:
            return self._machine.simulate(transaction.signed)
        differing = {}
        for address in accounts.every:
            then, latest = self._states.at(address, bank.slot), self._states.latest(address)
            # Programs and sysvars stay: the machine keeps those in caches of its own.
            if then != latest and not _is_kept_by_machine(latest):
                differing[address] = then
        with self._machine.rewound(bank, open_bank, differing):
            return self._machine.simulate(transaction.signed)

    def _at(self, slot: int) -> AccountOf:
        return lambda address: self._states.at(address, slot)

    def _nonce_of(self, transaction: WireTransaction, bank: Bank) -> Pubkey | None:
        newest = self._blockhashes.latest_at(bank).value
        return accepts_nonce(transaction.message, newest, self._at(bank.slot))

    def _settle_nonces(
        self,
        transaction: WireTransaction,
        bank: Bank,
        accounts: TransactionAccounts,
        nonce: Pubkey | None,
        execution: Execution,
    ) -> None:
        """Give nonces the value that this bank's parent gives; the machine takes the message's own hash."""
        value = durable_value(self._blockhashes.before(bank).value)
        of_machine = durable_value(transaction.message.recent_blockhash)
        for address in accounts.writable:
            account = self._states.latest(address)
            advanced = holds(account, of_machine) or (address == nonce and execution.fault is not None)
            if account is not None and advanced:
                self._machine.set_account(address, with_value(account, value))


def _size_fault(
    transaction: WireTransaction, accounts: TransactionAccounts, budget: ComputeBudget, account_of: AccountOf
) -> Fault | None:
    # A limit of nothing is malformed: the machine says so.
    if not budget.loaded_bytes:
        return None
    return size_fault(transaction.message, accounts.every, budget.loaded_bytes, account_of)


def _is_kept_by_machine(account: Account | None) -> bool:
    return account is not None and (account.executable or account.owner == _SYSVAR_OWNER)
