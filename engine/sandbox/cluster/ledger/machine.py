"""The virtual machine as a validator needs it: LiteSVM with its own checks of history replaced by ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.epoch_schedule import EpochSchedule
from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from engine.sandbox.cluster.blocks.banks import Bank
from engine.sandbox.cluster.parsed.token_state import (
    MINT_BYTES,
    NATIVE_MINT,
    NATIVE_MINT_DATA,
    TOKEN_PROGRAM,
)
from engine.sandbox.cluster.transactions.compute_budget import COMPUTE_BUDGET_PROGRAM
from engine.sandbox.cluster.transactions.transaction_faults import Fault, failed_instruction, failure_words
from engine.sandbox.cluster.transactions.wire_transaction import WireTransaction

SLOTS_PER_EPOCH = 432_000
EPOCHS_KEPT = 4
CLOCK_SYSVAR = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
SLOT_HASHES_SYSVAR = Pubkey.from_string("SysvarS1otHashes111111111111111111111111111")
_OWNERS_OF_BUILT_IN_ACCOUNTS = tuple(
    Pubkey.from_string(owner)
    for owner in (
        "NativeLoader1111111111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "Sysvar1111111111111111111111111111111111111",
        "Feature111111111111111111111111111111111111",
    )
)
# LiteSVM's mark of a transaction that failed before its first instruction ran: no fee, not in a block.
_NOT_EXECUTED = Signature.default()
_NO_ACCOUNT = Account(0, b"", Pubkey.default())


class _FailedJson(msgspec.Struct):
    err: Fault


@dataclass(frozen=True, slots=True)
class Execution:
    """What running a transaction gave. `executed` is False when it was refused before its fee was taken."""

    fault: Fault | None
    metadata: TransactionMetadata
    executed: bool
    post_accounts: dict[Pubkey, Account]


class Machine:
    """Executes and simulates. Signatures, blockhashes and duplicates are for the ledger to check."""

    def __init__(self) -> None:
        self._svm = LiteSVM().with_blockhash_check(False).with_sigverify(False).with_transaction_history(0)
        self._svm.set_epoch_schedule(EpochSchedule.custom(SLOTS_PER_EPOCH, SLOTS_PER_EPOCH, False))
        # LiteSVM's own airdrop account: the cluster's faucet is another one, and this one is nobody's.
        self._svm.set_account(self._svm.airdrop_pubkey(), _NO_ACCOUNT)
        # The mint of wrapped SOL, which every real cluster has had since its beginnings.
        self._svm.set_account(
            NATIVE_MINT,
            Account(self.rent_exempt_minimum_lamports(MINT_BYTES), NATIVE_MINT_DATA, TOKEN_PROGRAM),
        )
        self._epoch_starts_s: dict[int, int] = {}

    def built_in_accounts(self) -> Iterator[tuple[Pubkey, Account]]:
        """Builtin programs, the token programs and sysvars that exist before anything is written."""
        for owner in _OWNERS_OF_BUILT_IN_ACCOUNTS:
            yield from self._svm.get_program_accounts(owner)
        native_mint = self.account(NATIVE_MINT)
        assert native_mint is not None, "written when the machine was made"
        yield NATIVE_MINT, native_mint

    def account(self, address: Pubkey) -> Account | None:
        """An account in its latest state."""
        return self._svm.get_account(address)

    def set_account(self, address: Pubkey, account: Account | None) -> None:
        """Overwrite an account; None deletes it."""
        self._svm.set_account(address, _NO_ACCOUNT if account is None else account)

    def add_program(self, program_id: Pubkey, elf: bytes) -> None:
        """Install a program; raises what the loader says when the file is not valid."""
        self._svm.add_program(program_id, elf)

    def rent_exempt_minimum_lamports(self, data_bytes: int) -> int:
        """The least balance of an account with that much data."""
        return self._svm.minimum_balance_for_rent_exemption(data_bytes)

    def enter_slot(self, bank: Bank, recent_hashes: Sequence[tuple[int, Hash]]) -> None:
        """Show programs this slot's clock, and the hashes of the slots before it, newest first."""
        self._set_clock(bank)
        self._svm.set_slot_hashes(recent_hashes)

    def execute(self, transaction: VersionedTransaction) -> Execution:
        """Run a transaction and keep what it changed."""
        result = self._svm.send_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            metadata = result.meta()
            return Execution(_fault_of(result), metadata, metadata.signature() != _NOT_EXECUTED, {})
        return Execution(None, result, True, {})

    def execute_as_failed(self, transaction: WireTransaction, fault: Fault) -> Execution:
        """Take a transaction's fee from its payer and keep nothing else of it, as if it had failed so."""
        units = 0
        if failed_instruction(fault) is not None:
            units = self.simulate(transaction.signed).metadata.compute_units_consumed()
        paid = self.execute(_fee_payment(transaction))
        if paid.fault is not None:
            return paid
        return Execution(fault, _failed_metadata(paid.metadata, transaction, fault, units), True, {})

    def simulate(self, transaction: VersionedTransaction) -> Execution:
        """Run a transaction and keep nothing; `post_accounts` has the accounts that it would have written."""
        result = self._svm.simulate_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            metadata = result.meta()
            return Execution(_fault_of(result), metadata, metadata.signature() != _NOT_EXECUTED, {})
        return Execution(None, result.meta(), True, dict(result.post_accounts()))

    @contextmanager
    def rewound(self, bank: Bank, now: Bank, differing: dict[Pubkey, Account | None]) -> Iterator[None]:
        """Inside, the machine stands at an older bank: its clock, and the `differing` accounts of then."""
        latest = {address: self._svm.get_account(address) for address in differing}
        try:
            for address, account in differing.items():
                self.set_account(address, account)
            self._set_clock(bank)
            yield
        finally:
            for address, account in latest.items():
                self.set_account(address, account)
            self._set_clock(now)

    def _set_clock(self, bank: Bank) -> None:
        epoch = bank.slot // SLOTS_PER_EPOCH
        started_s = self._epoch_starts_s.setdefault(epoch, bank.unix_time_s)
        self._epoch_starts_s.pop(epoch - EPOCHS_KEPT, None)
        self._svm.set_clock(
            Clock(
                slot=bank.slot,
                epoch_start_timestamp=started_s,
                epoch=epoch,
                leader_schedule_epoch=epoch + 1,
                unix_timestamp=bank.unix_time_s,
            )
        )


def _fee_payment(transaction: WireTransaction) -> VersionedTransaction:
    """What of a transaction decides its fee: its signers, and what it asks of the compute budget."""
    message, header = transaction.message, transaction.message.header
    signers = header.num_required_signatures
    keys = message.account_keys
    asking = [
        CompiledInstruction(signers, instruction.data, b"")
        for instruction in message.instructions
        if keys[instruction.program_id_index] == COMPUTE_BUDGET_PROGRAM
    ]
    payment = Message.new_with_compiled_instructions(
        signers,
        header.num_readonly_signed_accounts,
        1,
        [*keys[:signers], COMPUTE_BUDGET_PROGRAM],
        message.recent_blockhash,
        asking,
    )
    return VersionedTransaction.populate(payment, transaction.signed.signatures)


def _failed_metadata(
    paid: TransactionMetadata, transaction: WireTransaction, fault: Fault, units: int
) -> TransactionMetadata:
    """What a run leaves behind when its instruction fails at once: its compute units and two log lines."""
    logs: list[str] = []
    message, index = transaction.message, failed_instruction(fault)
    if index is not None and index < len(message.instructions):
        program = message.account_keys[message.instructions[index].program_id_index]
        logs = [f"Program {program} invoke [1]", f"Program {program} failed: {failure_words(fault)}"]
    shown = {
        **msgspec.json.decode(paid.to_json()),
        "logs": logs,
        "inner_instructions": [],
        "compute_units_consumed": units,
    }
    return TransactionMetadata.from_json(msgspec.json.encode(shown).decode())


def _fault_of(failed: FailedTransactionMetadata) -> Fault:
    return msgspec.json.decode(failed.to_json(), type=_FailedJson).err
