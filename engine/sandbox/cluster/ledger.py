"""The cluster's ledger: the virtual machine, and everything that a validator keeps around it.

Synchronous, without I/O and for one thread; time comes from outside, slot by slot.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from engine.sandbox.cluster.accounts import AccountStates
from engine.sandbox.cluster.banks import Bank, Commitment
from engine.sandbox.cluster.blockhashes import Blockhash, BlockhashTable
from engine.sandbox.cluster.genesis import Genesis
from engine.sandbox.cluster.history import LandedTransaction, TransactionHistory
from engine.sandbox.cluster.machine import CLOCK_SYSVAR, SLOT_HASHES_SYSVAR, Execution, Machine
from engine.sandbox.cluster.preflight import preflight_failure, signature_verification_failure
from engine.sandbox.cluster.priority_fees import PriorityFees, compute_unit_price
from engine.sandbox.cluster.rpc_errors import INTERNAL_ERROR, RpcError
from engine.sandbox.cluster.transaction_accounts import accounts_of
from engine.sandbox.cluster.transaction_faults import (
    ALREADY_PROCESSED,
    BLOCKHASH_NOT_FOUND,
    SIGNATURE_FAILURE,
    Fault,
    fault_message,
)
from engine.sandbox.cluster.wire_transaction import AnyMessage, WireTransaction, decode_transaction

SLOT_HASHES_KEPT = 512
_AIRDROP_COMPUTE_UNITS = 1_000
_SYSVAR_OWNER = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")


class LedgerObserver(Protocol):
    """Whom the ledger tells what happens, in the order of events; must not call back into a write."""

    def account_written(self, address: Pubkey, account: Account | None, slot: int) -> None:
        """An account changed in the open slot; None when it was closed."""
        ...

    def transaction_landed(self, landed: LandedTransaction) -> None:
        """A transaction was executed in the open slot, before the accounts that it wrote are told."""
        ...

    def slot_opened(self, slot: int, parent: int, root: int) -> None:
        """A slot begins; `root` is the finalized one."""
        ...

    def bank_reached(self, commitment: Commitment, slot: int) -> None:
        """The bank of `slot` is now confirmed, or finalized."""
        ...

    def slots_abandoned(self, first: int, last: int) -> None:
        """The blocks of these slots are on a fork that lost: what they did is undone in the slot to come."""
        ...


@dataclass(frozen=True, slots=True)
class Simulation:
    """The outcome of a simulation against one bank; `execution` is None when it was refused unrun."""

    bank: Bank
    fault: Fault | None
    execution: Execution | None


@dataclass(frozen=True, slots=True)
class Block:
    """A closed block; `previous_blockhash` is its parent's."""

    slot: int
    parent_slot: int
    blockhash: Hash
    previous_blockhash: Hash
    height: int
    time_s: int
    transactions: Sequence[LandedTransaction]


class Ledger:
    """A cluster of one validator. What is written before the first `advance_slot` belongs to its genesis."""

    def __init__(self, genesis: Genesis, now_s: Callable[[], float]) -> None:
        self.genesis_hash = genesis.hash()
        self.validator = genesis.validator
        self.history = TransactionHistory()
        self.priority_fees = PriorityFees()
        self.observers: list[LedgerObserver] = []
        self.dropped: Counter[str] = Counter()
        # Set by whoever drives the slots when they come no more; the node then says that it is not healthy.
        self.halted = False
        self._genesis = genesis
        self._now_s = now_s
        self._machine = Machine()
        self._states = AccountStates()
        self._blockhashes = BlockhashTable(genesis.depths.finalized)
        self._block_times: dict[int, int] = {}
        self._airdrops = 0
        self._at_genesis = True
        for address, account in self._machine.built_in_accounts():
            self._states.seed(address, account)
        self._open_slot(genesis.first_slot)
        # Empty blocks, so that every commitment level has a bank and a blockhash from the start.
        for _ in range(genesis.depths.finalized + 1):
            self._close_block()
            self._open_slot(self.slot + 1)
        self.set_account(genesis.faucet.pubkey(), Account(genesis.faucet_lamports, b"", Pubkey.default()))

    # --- where the chain stands ---

    @property
    def slot(self) -> int:
        """The open slot, in which transactions execute."""
        return self._bank.slot

    @property
    def block_height(self) -> int:
        """The height of the open slot's block."""
        return self._bank.block_height

    @property
    def unix_time_s(self) -> int:
        """The clock that programs see in the open slot."""
        return self._bank.unix_time_s

    @property
    def first_slot(self) -> int:
        """The oldest slot that has a block."""
        return self._genesis.first_slot

    def bank(self, commitment: Commitment) -> Bank:
        """The bank that a commitment level names now."""
        slot = max(self.slot - self._genesis.depths.of(commitment), self.first_slot)
        return Bank(slot, self._height_of(slot), self._block_times[slot])

    def block_time_s(self, slot: int) -> int | None:
        """The unix time of a block, None when the slot has none."""
        return self._block_times.get(slot)

    def commitment_of(self, slot: int) -> Commitment:
        """How settled the bank of a slot is by now."""
        if slot <= self.bank(Commitment.FINALIZED).slot:
            return Commitment.FINALIZED
        if slot <= self.bank(Commitment.CONFIRMED).slot:
            return Commitment.CONFIRMED
        return Commitment.PROCESSED

    def latest_blockhash(self, bank: Bank) -> Blockhash:
        """The newest blockhash that a bank knows."""
        return self._blockhashes.latest_at(bank)

    def accepts_blockhash(self, bank: Bank, value: Hash) -> bool:
        """Whether a transaction that carries this hash could run in this bank."""
        return self._blockhashes.known_to(bank, value) is not None

    # --- accounts ---

    def account(self, address: Pubkey, commitment: Commitment = Commitment.PROCESSED) -> Account | None:
        """An account as the bank of a commitment level sees it; None when it does not exist there."""
        if commitment is Commitment.PROCESSED:
            return self._states.latest(address)
        return self._states.at(address, self.bank(commitment).slot)

    def account_at(self, address: Pubkey, slot: int) -> Account | None:
        """An account as the bank of a slot sees it; the slot must not be older than the finalized one."""
        return self._states.at(address, slot)

    def program_addresses(self, program_id: Pubkey, slot: int) -> list[Pubkey]:
        """The addresses of a program's accounts in the bank of a slot, ascending.

        What they are there can be read later, with `account_at`.
        """
        return self._states.addresses_owned_by(program_id, slot)

    def program_accounts(
        self, program_id: Pubkey, commitment: Commitment = Commitment.PROCESSED
    ) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that a program owns, by ascending address; to be read before the next write."""
        return self._states.owned_by(program_id, self.bank(commitment).slot)

    def accounts_at(self, slot: int) -> Iterator[tuple[Pubkey, Account]]:
        """Every account that the bank of a slot sees, in no order; to be read before the next write."""
        return self._states.every(slot)

    def accounts_changed_in(self, slot: int) -> Sequence[Pubkey]:
        """The accounts that changed in a slot that is not yet finalized."""
        return list(self._states.changed_in(slot))

    def rent_exempt_minimum_lamports(self, data_bytes: int) -> int:
        """The least balance that an account with that much data must hold."""
        return self._machine.rent_exempt_minimum_lamports(data_bytes)

    def set_account(self, address: Pubkey, account: Account) -> None:
        """Write an account as the cluster itself; zero lamports delete it. Subscribers are told."""
        kept = account if account.lamports > 0 else None
        self._machine.set_account(address, kept)
        self._record_write(address, kept)

    def add_program(self, program_id: Pubkey, elf: bytes) -> None:
        """Install a program; raises the loader's error when the file is not a valid one."""
        self._machine.add_program(program_id, elf)
        self._record_write(program_id, self._machine.account(program_id))

    # --- transactions ---

    def submit(
        self,
        raw: bytes,
        *,
        skip_preflight: bool,
        preflight_commitment: Commitment = Commitment.PROCESSED,
    ) -> Signature:
        """Take in a transaction's wire bytes, as sendTransaction does; executes it in the open slot.

        Raises TransactionRefused for what the node refuses to forward. As on a real node, one that passes (or
        skips) preflight and then cannot enter a block is lost without a word; `dropped` counts why.
        """
        transaction = decode_transaction(raw)
        if not skip_preflight:
            if not transaction.has_valid_signatures():
                raise signature_verification_failure()
            simulation = self.simulate(transaction, self.bank(preflight_commitment))
            if simulation.fault is not None:
                raise preflight_failure(simulation.fault, simulation.execution)
        self.execute(transaction, signatures_checked=not skip_preflight)
        return transaction.signature

    def simulate(self, transaction: WireTransaction, bank: Bank, *, replayable: bool = False) -> Simulation:
        """Run a transaction against a bank, changing nothing and checking no signature.

        A `replayable` one skips the checks of blockhash and duplicates: the node itself chose its blockhash.
        """
        if not replayable:
            if not self.accepts_blockhash(bank, transaction.message.recent_blockhash):
                return Simulation(bank, BLOCKHASH_NOT_FOUND, None)
            landed = self.history.get(transaction.signature)
            if landed is not None and landed.slot <= bank.slot:
                return Simulation(bank, ALREADY_PROCESSED, None)
        execution = self._run_in(bank, transaction)
        return Simulation(bank, execution.fault, execution)

    def fee_lamports(self, message: AnyMessage) -> int:
        """What the machine charges for a message, base and priority fee; 0 when it cannot run at all."""
        unsigned = [Signature.default()] * message.header.num_required_signatures
        return self._machine.simulate(VersionedTransaction.populate(message, unsigned)).metadata.fee()

    def airdrop(self, address: Pubkey, lamports: int) -> Signature:
        """Send lamports from the faucet by a signed transaction; raises RpcError when it cannot pay."""
        faucet = self._genesis.faucet
        self._airdrops += 1
        # The changing limit sets equal airdrops of the same block apart: their signatures must differ.
        limit = set_compute_unit_limit(_AIRDROP_COMPUTE_UNITS + self._airdrops % 100_000)
        payment = transfer(TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=address, lamports=lamports))
        blockhash = self.latest_blockhash(self._bank).value
        message = Message.new_with_blockhash([limit, payment], faucet.pubkey(), blockhash)
        transaction = decode_transaction(bytes(VersionedTransaction(message, [faucet])))
        landed = self.execute(transaction, signatures_checked=True)
        if landed is None:
            raise RpcError(INTERNAL_ERROR, "airdrop request failed: the faucet cannot pay the fee")
        if landed.fault is not None:
            raise RpcError(INTERNAL_ERROR, f"airdrop request failed: {fault_message(landed.fault)}")
        return landed.signature

    # --- time ---

    def advance_slot(self) -> None:
        """Close the open slot's block and open the next: a new blockhash; every commitment level moves."""
        self._at_genesis = False
        self._close_block()
        self._open_slot(self.slot + 1)
        root = self.bank(Commitment.FINALIZED).slot
        for observer in self.observers:
            observer.slot_opened(self.slot, self.slot - 1, root)
        self._record_write(CLOCK_SYSVAR, self._machine.account(CLOCK_SYSVAR))
        self._record_write(SLOT_HASHES_SYSVAR, self._machine.account(SLOT_HASHES_SYSVAR))
        for commitment in (Commitment.CONFIRMED, Commitment.FINALIZED):
            for observer in self.observers:
                observer.bank_reached(commitment, self.bank(commitment).slot)
        self._states.forget_before(root)

    # --- inside ---

    def _height_of(self, slot: int) -> int:
        return slot - self._genesis.first_slot + self._genesis.first_block_height

    def _open_slot(self, slot: int) -> None:
        previous_s = self._block_times.get(slot - 1, 0)
        # Block time never runs backwards, whatever the host's clock does.
        self._bank = Bank(slot, self._height_of(slot), max(int(self._now_s()), previous_s))
        self._block_times[slot] = self._bank.unix_time_s
        self.priority_fees.open_slot(slot)
        recent = [(block.slot, block.value) for block in self._blockhashes.recent(SLOT_HASHES_KEPT)]
        self._machine.enter_slot(self._bank, recent)

    def _close_block(self) -> None:
        transactions = b"".join(bytes(landed.signature) for landed in self.history.in_slot(self.slot))
        content = bytes(self.genesis_hash) + self.slot.to_bytes(8, "little") + transactions
        self._blockhashes.register(Hash(hashlib.sha256(content).digest()), self._bank)

    def _record_write(self, address: Pubkey, account: Account | None) -> None:
        if self._at_genesis:
            self._states.seed(address, account)
        else:
            self._states.write(address, account, self.slot)
        for observer in self.observers:
            observer.account_written(address, account, self.slot)

    def _run_in(self, bank: Bank, transaction: WireTransaction) -> Execution:
        if bank.slot == self.slot:
            return self._machine.simulate(transaction.signed)
        differing = {}
        for address in accounts_of(transaction.message, self._states.latest).every:
            then, latest = self._states.at(address, bank.slot), self._states.latest(address)
            # Programs and sysvars stay: the machine keeps those in caches of its own.
            if then is not latest and not _is_kept_by_machine(latest):
                differing[address] = then
        with self._machine.rewound(bank, self._bank, differing):
            return self._machine.simulate(transaction.signed)

    def execute(
        self, transaction: WireTransaction, *, signatures_checked: bool, forced_fault: Fault | None = None
    ) -> LandedTransaction | None:
        """Run a transaction in the open slot; None when it cannot enter the block.

        With a `forced_fault` it lands with that error: its fee is taken, and nothing else happens.
        """
        reason = self._reason_to_drop(transaction, signatures_checked)
        if reason is not None:
            self.dropped[reason] += 1
            return None
        accounts = accounts_of(transaction.message, self._states.latest)
        pre_balances = [_lamports(self._states.latest(address)) for address in accounts.every]
        if forced_fault is None:
            execution = self._machine.execute(transaction.signed)
        else:
            execution = self._machine.execute_as_failed(transaction, forced_fault)
        if not execution.executed:
            self.dropped[str(execution.fault)] += 1
            return None
        written = {address: self._machine.account(address) for address in accounts.writable}
        post_balances = [
            _lamports(written[address]) if address in written else before
            for address, before in zip(accounts.every, pre_balances, strict=True)
        ]
        landed = LandedTransaction(
            signature=transaction.signature,
            slot=self.slot,
            block_time_s=self.unix_time_s,
            wire=transaction,
            accounts=accounts,
            fault=execution.fault,
            pre_balances=pre_balances,
            post_balances=post_balances,
            metadata=execution.metadata,
        )
        self._record_landed(landed, written)
        return landed

    def _reason_to_drop(self, transaction: WireTransaction, signatures_checked: bool) -> str | None:
        if transaction.signature in self.history:
            return ALREADY_PROCESSED
        if not self.accepts_blockhash(self._bank, transaction.message.recent_blockhash):
            return BLOCKHASH_NOT_FOUND
        if not signatures_checked and not transaction.has_valid_signatures():
            return SIGNATURE_FAILURE
        return None

    def _record_landed(self, landed: LandedTransaction, written: Mapping[Pubkey, Account | None]) -> None:
        self.history.add(landed)
        price = compute_unit_price(landed.wire.message, landed.accounts.static)
        self.priority_fees.landed(price, landed.accounts.writable)
        for observer in self.observers:
            observer.transaction_landed(landed)
        for address, account in written.items():
            if account != self._states.latest(address):
                self._record_write(address, account)


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports


def _is_kept_by_machine(account: Account | None) -> bool:
    return account is not None and (account.executable or account.owner == _SYSVAR_OWNER)
